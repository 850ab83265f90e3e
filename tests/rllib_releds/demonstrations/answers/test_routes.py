import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rllib_releds.demonstrations.answers.routes import extract_routes, route_error
from sumo_marl_env import Trip

GOOD = [0, 1, 2, 3, 7, 11, 15]


@pytest.mark.parametrize(
    "reply",
    [
        '```json\n{"agent_0": [0, 1, 2, 3, 7, 11, 15]}\n```',
        "agent_0 = [0, 1, 2, 3, 7, 11, 15]",
        "**agent_0**: 0 -> 1 -> 2 -> 3 -> 7 -> 11 -> 15",
        'vehicle_0: ["0", "1", "2", "3", "7", "11", "15"]',
        "agent_0: [1, 2, 3, 7, 11, 15]",
        "<think>agent_0: [9]</think>agent_0: (0, 1, 2,\n 3, 7, 11, 15)",
        '{"agent_0": {"origin": 0, "route": [0, 1, 2, 3, 7, 11, 15]}}',
        '[{"agent": "agent_0", "route": [0, 1, 2, 3, 7, 11, 15]}]',
        '[{"id": 1, "agent_id": 0, "route": [0, 1, 2, 3, 7, 11, 15]}]',
        '{"routes": [{"id": 0, "path": "0 -> 1 -> 2 -> 3 -> 7 -> 11 -> 15"}]}',
        '```json\n{"0": ["0", "1", "2", "3", "7", "11", "15"]}\n```',
        "Agent 0: [0, 1, 2, 3, 7, 11, 15]",
        "**Agent 0's route**: 0, 1, 2, 3, 7, 11, 15",
        'The routes [as asked]:\n{"agent_0": [0, 1, 2, 3, 7, 11, 15]}\nwhere {busy} roads are left out',
        '{"agent_0": [0, 1, 2, 3, 7, 11, 15], "agent_1": [3, 2',
    ],
)
def test_routes_are_found_in_their_usual_forms(world, reply):
    plans, errors = extract_routes(reply, world.trips[:1], world.network)
    assert not errors
    assert [i.target for i in plans["vehicle_0"].instructions] == GOOD[1:]


@pytest.mark.parametrize(
    ("route", "error"),
    [
        ([0, 1, 99], "unknown node 99"),
        ([0, 4, 8], "must begin 0, 1"),
        ([], "must begin 0, 1"),
        ([0, 1, 2, 3], "ends at 3, not at the destination 15"),
        ([0, 1, 15], "no road leads from 1 to 15"),
        ([0, 1, 0, 4, 8, 12, 13, 14, 15], "the turn 0 -> 1 -> 0 does not exist"),
        ([1, 2, 3, 2, 6, 7, 11, 15], "the turn 2 -> 3 -> 2 does not exist"),
    ],
)
def test_routes_that_cannot_be_driven_are_refused_with_the_reason(world, route, error):
    assert error in route_error(route, world.trips[0], world.network)


@pytest.mark.parametrize(
    "remark",
    [
        "\n\n- agent_0: 210 s\n",
        "\n\nagent_0: 5 roads",
        "\n\nAgent 0: 7, 3 of them empty",
        '\n{"agent_0": {"seconds": 210}}',
    ],
)
@pytest.mark.parametrize("route", ['```json\n{{"agent_0": {0}}}\n```', '{{"agent_0": {0}}}'])
def test_remarks_beside_json_replace_no_route(world, route, remark):
    plans, errors = extract_routes(route.format(GOOD) + remark, world.trips[:1], world.network)
    assert not errors
    assert [i.target for i in plans["vehicle_0"].instructions] == GOOD[1:]


def test_a_number_alone_replaces_no_route(world):
    plans, _ = extract_routes(f"agent_0: {GOOD}\nTravel times:\nagent_0: 210 s", world.trips[:1], world.network)
    assert set(plans) == {"vehicle_0"}


def test_of_roads_side_by_side_one_that_has_the_turn_is_enough(world):
    """A second road from 1 to 2, from which no vehicle can go on to 3."""
    network = world.network
    row, size = network.edge_index["1to2"], network.num_edges
    into = [[edge, size] for edge, following in network.connections.tolist() if following == row]
    changes = {
        name: np.append(getattr(network, name), getattr(network, name)[row])
        for name in ("edge_from", "edge_to", "edge_length_m", "edge_speed_mps", "edge_num_lanes")
    }
    doubled = replace(
        network,
        edge_ids=(*network.edge_ids, "1to2again"),
        edge_types=(*network.edge_types, ""),
        edge_shapes=(*network.edge_shapes, network.edge_shapes[row]),
        connections=np.array(sorted([*network.connections.tolist(), *into, [size, network.edge_index["2to6"]]])),
        **changes,
    )
    assert route_error(GOOD, world.trips[0], doubled) is None
    without = doubled.connections.tolist()
    without.remove([row, network.edge_index["2to3"]])
    refused = route_error(GOOD, world.trips[0], replace(doubled, connections=np.array(without)))
    assert "the turn 1 -> 2 -> 3 does not exist" in refused


def test_a_good_route_has_no_error(world):
    assert route_error(GOOD, world.trips[0], world.network) is None


def test_a_missing_route_is_named(world):
    _, errors = extract_routes("agent_0: [0]", world.trips, world.network)
    assert "no route for agent_1" in errors["vehicle_1"]


@settings(max_examples=100, deadline=None)
@given(
    reply=st.text()
    | st.lists(
        st.sampled_from(["agent_0", ":", "[", "{", "}", '"agent_0"', "1", ",", " ", "->", "9" * 30, "true", "]"])
    ).map("".join)
)
def test_route_extraction_never_raises(network, reply):
    trip = Trip("vehicle_0", 0, 15, network.edge_index["0to1"])
    plans, errors = extract_routes(reply, [trip], network)
    assert set(plans) | set(errors) == {"vehicle_0"}


@pytest.mark.parametrize(
    "reply",
    [
        '{"agent_0": ' + " " * 100_000 + "?",
        "agent_0" + "\n" * 100_000 + "?",
        "agent_0: [" + "\n" * 100_000 + "?",
        "agent_0: " + "1 " * 50_000 + "?",
        "agent_0" + "'" * 100_000,
        "agent_" + "0" * 100_000,
        "[" * 100_000,
        '{"agent_0": ' * 15_000,
        '{"agent_0": "' + "1 " * 90_000 + '?"}',
    ],
)
def test_routes_are_read_in_linear_time(world, reply):
    began_s = time.process_time()
    _, errors = extract_routes(reply, world.trips[:1], world.network)
    assert errors
    assert time.process_time() - began_s < 2


def test_a_number_of_thousands_of_digits_is_an_unknown_node(world):
    _, errors = extract_routes(f"agent_0: [0, 1, {'9' * 5000}]", world.trips[:1], world.network)
    assert "unknown node 9999999999;" in errors["vehicle_0"]
    _, errors = extract_routes(
        f"agent_0: {[*GOOD[:-1]]!s}".replace("]", f", {'0' * 5000}15]"), world.trips[:1], world.network
    )
    assert not errors


def test_some_agents_keep_the_numbers_that_they_have_among_all(world):
    """In a repair turn, of ids that do not all end in numbers of their own."""
    trips = [replace(trip, agent=agent) for trip, agent in zip(world.trips, ["bus_1", "car_1", "car_2"], strict=False)]
    plans, errors = extract_routes(f"agent_0: {GOOD}", trips, world.network, ["bus_1", "car_2"])
    assert set(plans) == {"bus_1"}
    assert errors == {"car_2": "there is no route for agent_2 in the reply"}
