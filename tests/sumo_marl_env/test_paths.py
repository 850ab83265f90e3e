import itertools

import networkx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sumo_marl_env import ShortestPaths, shortest_paths


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_costs_agree_with_networkx(grid, seed):
    rng = np.random.default_rng(seed)
    cost = rng.uniform(1.0, 50.0, grid.num_edges)
    paths = ShortestPaths(grid, cost)
    destination = int(rng.integers(grid.num_junctions))
    graph = networkx.DiGraph()
    graph.add_weighted_edges_from((a, b, cost[b]) for a, b in grid.connections.tolist())
    graph.add_edges_from(((e, "end") for e in np.flatnonzero(grid.edge_to == destination).tolist()), weight=0.0)
    expected = networkx.shortest_path_length(graph, target="end", weight="weight")
    for edge in range(grid.num_edges):
        assert paths.cost_to_go(destination)[edge] == pytest.approx(expected[edge])


def test_routes_are_connected_and_cost_what_cost_to_go_says(grid):
    paths = shortest_paths(grid, "length")
    for edge in range(0, grid.num_edges, 7):
        route = paths.route(edge, 5)
        assert grid.edge_to[route[-1]] == 5
        assert all(b in grid.successors[a] for a, b in itertools.pairwise(route))
        assert grid.edge_length_m[route[1:]].sum() == pytest.approx(paths.cost_to_go(5)[edge])


def test_paths_of_the_empty_network_are_computed_once(grid):
    assert shortest_paths(grid, "length") is shortest_paths(grid, "length")
