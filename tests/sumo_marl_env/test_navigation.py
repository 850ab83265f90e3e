import numpy as np
import pytest

from sumo_marl_env import (
    Instruction,
    Navigator,
    NoRouteError,
    ShortestPaths,
    Trip,
    UnknownJunctionError,
    is_reached,
    next_action,
)


class Traffic:
    """One vehicle on an edge, and travel times of our choice."""

    def __init__(self, network, edge=0):
        self.edge = edge
        self.network = network
        self.edge_times_s = network.free_flow_time_s.copy()

    @property
    def live_paths(self):
        return ShortestPaths(self.network, self.edge_times_s)

    def current_edge(self, agent):
        return self.edge

    def driven_edges(self, agent):
        return [self.edge]


@pytest.fixture
def traffic(grid):
    return Traffic(grid)


@pytest.fixture
def navigator(grid, traffic):
    return Navigator(grid, Trip("vehicle_0", int(grid.edge_from[0]), 10, 0), traffic)


def test_queries_answer_from_the_junction_ahead(grid, navigator):
    ahead = int(grid.edge_to[0])
    assert navigator.approached_junction == ahead
    assert navigator.get_shortest_dist(ahead) == 0.0
    assert navigator.get_shortest_time(ahead) == 0.0
    assert navigator.get_shortest_dist(10) > 0.0
    assert (navigator.get_origin(), navigator.get_destination()) == (grid.edge_from[0], 10)


def test_nearest_node_of_a_node_is_itself(grid, navigator):
    for node in range(grid.num_junctions):
        assert navigator.get_nearest_node(*navigator.get_node_coord(node)) == node


def test_shortest_time_avoids_a_jam_and_shortest_path_does_not(grid, traffic, navigator):
    instructions = [Instruction(name, 10) for name in ("move_to_by_shortest_path", "move_to_by_shortest_time")]
    by_path, by_time = (next_action(navigator, instruction) for instruction in instructions)
    jammed = grid.outgoing[navigator.approached_junction][by_time]
    traffic.edge_times_s[jammed] = 10_000.0
    assert next_action(navigator, instructions[0]) == by_path
    assert next_action(navigator, instructions[1]) != by_time


def test_following_an_instruction_reaches_its_target(grid, traffic, navigator):
    instruction = Instruction("move_to_by_shortest_path", 10)
    for _ in range(20):
        if is_reached(navigator, instruction):
            break
        traffic.edge = grid.outgoing[navigator.approached_junction][next_action(navigator, instruction)]
    assert navigator.approached_junction == 10


def test_unknown_junction_is_refused_by_every_function(grid, navigator):
    for call in (navigator.get_node_coord, navigator.get_shortest_dist, navigator.action_by_shortest_time):
        with pytest.raises(UnknownJunctionError, match="unknown junction 99; grid has junctions 0 to 15"):
            call(99)


def test_unreachable_target_is_refused(grid, traffic, navigator, monkeypatch):
    monkeypatch.setattr(traffic, "edge_times_s", np.full(grid.num_edges, np.inf))
    with pytest.raises(NoRouteError, match="vehicle_0 cannot reach junction 10"):
        navigator.action_by_shortest_time(10)


def test_unknown_instruction_is_refused():
    with pytest.raises(ValueError, match="unknown instruction 'fly_to'"):
        Instruction("fly_to", 3)
