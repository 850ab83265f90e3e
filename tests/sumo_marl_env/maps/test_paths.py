import itertools
from dataclasses import replace

import networkx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from street_grid import grid_network

from sumo_marl_env import ShortestPaths, UnknownJunctionError, shortest_paths


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
    paths = ShortestPaths(grid, np.random.default_rng(0).uniform(1.0, 50.0, grid.num_edges))
    for edge in range(grid.num_edges):
        route = paths.route(edge, 5)
        assert grid.edge_to[route[-1]] == 5
        assert all(b in grid.successors[a] for a, b in itertools.pairwise(route))
        assert paths.edge_cost[route[1:]].sum() == pytest.approx(paths.cost_to_go(5)[edge])


def test_paths_of_the_empty_network_are_computed_once(grid):
    assert shortest_paths(grid, "length") is shortest_paths(grid, "length")


def test_what_all_share_nobody_changes(grid):
    paths = shortest_paths(grid, "length")
    for array in (paths.edge_cost, paths.cost_to_go(5)):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0.0


def test_what_is_no_cost_and_no_junction_is_refused_in_words(grid):
    with pytest.raises(ValueError, match="unknown cost 'tolls'; choose length or free_flow_time"):
        shortest_paths(grid, "tolls")
    with pytest.raises(ValueError, match=r"edge_cost has shape \(3,\), expected"):
        ShortestPaths(grid, np.ones(3))
    for junction in (-1, grid.num_junctions):
        with pytest.raises(UnknownJunctionError, match=f"leads to a junction {junction}"):
            shortest_paths(grid, "length").route(0, junction)


def test_paths_by_length_and_by_time_are_those_of_their_cost(grid):
    by_length, by_time = shortest_paths(grid, "length"), shortest_paths(grid, "free_flow_time")
    np.testing.assert_array_equal(by_length.edge_cost, grid.edge_length_m)
    np.testing.assert_array_equal(by_time.edge_cost, grid.free_flow_time_s)


def test_of_equally_good_edges_the_first_is_taken(grid):
    paths = ShortestPaths(grid, np.ones(grid.num_edges))
    for destination in (0, 5):
        cost_to_go = paths.cost_to_go(destination)
        best = [min(edges, key=lambda edge: (cost_to_go[edge], edge)) for edges in grid.successors]
        assert paths.next_edges(destination) == tuple(best)
        assert [paths.next_edge(edge, destination) for edge in range(grid.num_edges)] == best


def test_where_no_path_leads_none_is_given():
    whole, closed = grid_network(), 15
    is_open = whole.edge_to[whole.connections[:, 1]] != closed
    network = replace(whole, connections=whole.connections[is_open])
    paths = ShortestPaths(network, network.edge_length_m)
    for edge in np.flatnonzero(network.edge_to != closed).tolist():
        assert paths.cost_to_go(closed)[edge] == np.inf
        assert paths.next_edge(edge, closed) is None
        assert paths.next_edges(closed)[edge] == -1
        assert paths.route(edge, closed) == []
