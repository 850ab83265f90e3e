"""Golden tests: a change of wording shows as a diff of the files in `golden/`.

Write them anew and read the diff:

    UPDATE_GOLDEN=1 pytest tests/rllib_releds/demonstrations/prompting/test_prompts.py
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rllib_releds.demonstrations.answers.programs import extract_programs
from rllib_releds.demonstrations.feedback import AgentOutcome, CycleFeedback, KeptVersion
from rllib_releds.demonstrations.functions import routing_functions
from rllib_releds.demonstrations.models.chat import Message, estimate_tokens
from rllib_releds.demonstrations.offline_planner.planner import plan_reply
from rllib_releds.demonstrations.offline_planner.reading import read_map
from rllib_releds.demonstrations.prompting import feedback_text, network_text, prompts
from rllib_releds.demonstrations.roads import RoadTime
from rllib_releds.demonstrations.stationarity import DivergencePair, SubsetFeedback, VolatilityPair
from sumo_marl_env import Instruction, RoadNetwork, Trip, make_scenario, shortest_paths

GOLDEN = Path(__file__).parent / "golden"
BY_TIME, BY_PATH = Instruction("move_to_by_shortest_time", 15), Instruction("move_to_by_shortest_path", 6)
AGENTS = ["vehicle_0", "vehicle_1", "vehicle_2", "vehicle_3"]


def outcome(agent: str, **changes) -> AgentOutcome:
    values = {
        "agent": agent,
        "arrived": True,
        "exit": "arrived",
        "travel_time_s": 312.4,
        "reward": 640.2,
        "path": (0, 1, 2, 3, 7, 11, 15),
        "instructions": (BY_PATH, BY_TIME),
        "error": None,
        "policy_reward": 601.7,
        "policy_best_time_s": 290.0,
        "policy_best_path": (0, 1, 5, 9, 13, 14, 15),
    }
    return AgentOutcome(**(values | changes))


@pytest.fixture
def feedback() -> CycleFeedback:
    failed = outcome(
        "vehicle_1",
        error="ValueError: unknown junction 99\n  in line 3",
        reward=-12.0,
        policy_best_time_s=None,
        policy_best_path=(),
    )
    lost = outcome("vehicle_2", arrived=False, exit="horizon", travel_time_s=2400.0, reward=-900.0, instructions=())
    subset = SubsetFeedback(
        agents=("vehicle_0", "vehicle_1"),
        reward_bound=20.0,
        num_volatile_steps=1,
        volatility=(VolatilityPair("vehicle_0", BY_PATH, 14, 131.0, 88.6, 5),),
        divergence=(
            DivergencePair("vehicle_0", BY_PATH, 4.25, 2, 131.0, 1, (5.0, 15.0, 0.98765, 6.0, 1.0, 9.0, -1.0, -1.0)),
        ),
        nonstationarity_bound=1234.5,
    )
    outcomes = (lost, failed, outcome("vehicle_0"), outcome("vehicle_3", reward=700.0))
    return CycleFeedback(10, 1, outcomes, (subset,))


def check(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("interfaces", [True, False])
def test_initial_prompt(context, interfaces):
    check("initial" if interfaces else "initial_routes", prompts.initial_prompt(context, interfaces=interfaces))


def test_feedback_prompt(feedback):
    check("feedback", prompts.feedback_prompt(feedback, AGENTS))


@pytest.fixture
def remembered(feedback) -> CycleFeedback:
    """The same with kept versions and road times."""
    path = (0, 1, 5, 9, 13, 14, 15)
    kept = {
        "vehicle_0": KeptVersion(1, True, 3, 640.0, 312.0, (0, 1, 2, 3, 7, 11, 15), (BY_PATH, BY_TIME)),
        "vehicle_1": KeptVersion(0, False, 1, 655.0, 301.0, path, (BY_TIME,)),
        "vehicle_3": KeptVersion(0, False, 4, 720.0, 280.0, path, (BY_PATH, BY_TIME)),
    }
    roads = (RoadTime(0, 1, 31.4, 2.0, then=5, trips=18.4), RoadTime(1, 5, 12.0, 0.33, trips=0.8))
    return replace(feedback, kept=kept, roads=roads)


@pytest.mark.parametrize("interfaces", [True, False])
def test_feedback_prompt_with_memory(remembered, interfaces):
    name = "feedback_memory" if interfaces else "feedback_memory_routes"
    check(name, prompts.feedback_prompt(remembered, AGENTS, interfaces=interfaces))


def test_feedback_prompt_as_short_as_it_can_be(remembered):
    check("feedback_short", prompts.feedback_prompt(remembered, AGENTS, max_tokens=1))


def test_repair_prompt_for_routes():
    check("repair_routes", prompts.repair_prompt({"vehicle_3": "no road leads from 2 to 9"}, AGENTS, interfaces=False))


@pytest.mark.parametrize("interfaces", [True, False])
def test_trigger_prompt(interfaces):
    check("trigger" if interfaces else "trigger_routes", prompts.trigger_prompt(interfaces=interfaces))


def test_a_turn_that_one_of_two_parallel_roads_allows_exists(network):
    edge = next(e for e in range(network.num_edges) if len(network.successors[e]) > 1)
    start, over, twin = int(network.edge_from[edge]), int(network.edge_to[edge]), network.num_edges
    only = int(network.successors[edge][0])
    doubled = replace(
        network,
        edge_ids=(*network.edge_ids, "twin"),
        edge_types=(*network.edge_types, ""),
        edge_from=np.append(network.edge_from, start),
        edge_to=np.append(network.edge_to, over),
        edge_length_m=np.append(network.edge_length_m, 100.0),
        edge_speed_mps=np.append(network.edge_speed_mps, 10.0),
        edge_num_lanes=np.append(network.edge_num_lanes, 1),
        edge_shapes=(*network.edge_shapes, network.edge_shapes[edge]),
        connections=np.array([*network.connections.tolist(), (twin, only)], np.int32),
    )
    listed = range(network.num_junctions)
    assert network_text.turns(doubled, listed) == network_text.turns(network, listed)


def test_turns_that_do_not_exist_are_listed(context, network):
    to_1, onward = network.edge_index["0to1"], network.edge_index["1to2"]
    connections = [pair for pair in network.connections.tolist() if pair != [to_1, onward]]
    text = prompts.initial_prompt(replace(context, network=with_connections(network, connections)))
    assert "Turns that do not exist (from-over-to): 0-1-2\n" in text


def test_where_alone_one_can_turn_back_is_said(network):
    listed, pairs = range(network.num_junctions), network.connections.tolist()
    back = {
        start: [network.edge_index[f"{start}to{over}"], network.edge_index[f"{over}to{start}"]]
        for start, over in ((0, 1), (2, 1))
    }
    assert network_text.turns(network, listed).startswith("No vehicle can turn back")
    both = network_text.turns(with_connections(network, [*pairs, *back.values()]), listed)
    # From junction 5, too, a road leads to 1.
    assert both.startswith("A vehicle can turn back to the node that it comes from at these nodes alone: 1.")
    assert "5-1-5" in both
    assert "0-1-0" not in both


def test_the_agents_on_a_road_are_told_of_all_its_turns_also_of_those_left_out():
    main = [RoadTime(row, 1000, 90.0, 4.0, then=2000, trips=9.0) for row in range(feedback_text.MAX_TURNS)]
    rare = [replace(turn, then=3000, travel_time_s=1.0, vehicles=3.0) for turn in main]
    told = feedback_text.roads([*main, *rare]).splitlines()
    assert told[7] == "7-1000 (7.0): 2000 90 s x9"


def with_connections(network: RoadNetwork, connections: list[list[int]]) -> RoadNetwork:
    return replace(network, connections=np.array(connections, np.int32))


@pytest.mark.parametrize("name", ["rush", "gridtown"])
def test_the_built_in_scenarios_leave_room_for_feedback_and_reply(context, name):
    scenario = make_scenario(name)
    context = replace(context, network=scenario.network, trips=scenario.trips)
    text = prompts.initial_prompt(context, max_tokens=5000)
    assert f"\n{scenario.network.num_junctions} nodes" in text
    path = tuple(range(14))
    kept = KeptVersion(3, False, 5, 600.0, 650.0, path, (BY_PATH,) * 12)
    outcomes = tuple(outcome(agent, path=path, instructions=(BY_PATH,) * 12) for agent in scenario.agents)
    roads = tuple(RoadTime(row, row + 1, 45.0, 12.5) for row in range(110))
    everything = CycleFeedback(1, 1, outcomes, (), roads, dict.fromkeys(scenario.agents, kept))
    feedback = prompts.feedback_prompt(everything, scenario.agents, max_tokens=10_000 - estimate_tokens(text))
    assert estimate_tokens(text) + estimate_tokens(feedback) <= 10_000


def test_a_large_network_is_cut_to_what_matters_for_the_trips(context, big_grid):
    edges = [big_grid.edge_index[name] for name in ("0to1", "40to41", "2to20", "100to118")]
    ends = (9 * 18 + 9, 60, 200, 210)
    trips = tuple(
        Trip(f"vehicle_{number}", int(big_grid.edge_from[edge]), end, edge, 0.0)
        for number, (edge, end) in enumerate(zip(edges, ends, strict=True))
    )
    large = replace(context, network=big_grid, trips=trips)
    assert estimate_tokens(prompts.initial_prompt(large)) > 5000
    text = prompts.initial_prompt(large, max_tokens=4800)
    assert 4700 < estimate_tokens(text) <= 4800
    check_cut(text, big_grid, trips)


def test_all_fastest_paths_are_listed_however_short_the_prompt_should_be(context):
    along_the_edge = (Trip("vehicle_0", 0, 3, context.trips[0].origin_edge, 0.0),)
    text = prompts.initial_prompt(replace(context, trips=along_the_edge), max_tokens=1)
    assert "\n4 of the network's 16 nodes" in text
    check_cut(text, context.network, along_the_edge)


def test_a_real_city_is_cut_to_what_matters_for_the_trips(context, real_map):
    network = RoadNetwork.from_net_file(real_map("manhattan/manhattan.net.xml"))
    scenario = make_scenario(network=network, num_agents=10)
    text = prompts.initial_prompt(replace(context, network=network, trips=scenario.trips), max_tokens=3000)
    assert estimate_tokens(text) <= 3000
    check_cut(text, scenario.network, scenario.trips)


def check_cut(text: str, network: RoadNetwork, trips: Sequence[Trip]) -> None:
    """The prompt says that it is cut, and every agent's fastest path is in it."""
    assert f" of the network's {network.num_junctions} nodes (junctions): those that matter" in text
    town = read_map(text)
    for trip in trips:
        route = shortest_paths(network, "free_flow_time").route(trip.origin_edge, trip.destination)
        assert all((int(network.edge_from[edge]), int(network.edge_to[edge])) in town.free_s for edge in route)
    reply = plan_reply([Message("system", text), Message("user", prompts.trigger_prompt())])
    assert not extract_programs(reply, [trip.agent for trip in trips]).errors


def test_feedback_without_stationarity_tells_validity_and_reward_alone(feedback):
    feedback = replace(feedback, roads=(RoadTime(0, 1, 31.4, 2.0),))
    text = prompts.feedback_prompt(feedback, AGENTS, stationarity=False)
    check("feedback_leed", text)
    assert not any(word in text for word in ("DIVERGENCE", "VOLATILITY", "ROADS", "learnt policy"))


def test_repair_prompt_names_only_the_failing_agents():
    errors = {"vehicle_3": "there is no function agent_3() in the reply", "vehicle_1": "SyntaxError: " + "x" * 1000}
    text = prompts.repair_prompt(errors, AGENTS)
    check("repair", text)
    assert "agent_0" not in text


def test_agents_that_fail_alike_are_repaired_together():
    errors = {"vehicle_0": "no helper", "vehicle_1": "no road", "vehicle_3": "no helper"}
    text = prompts.repair_prompt(errors, AGENTS)
    assert "\nagent_0, agent_3: no helper\nagent_1: no road\n" in text


def test_a_repair_prompt_cuts_errors_to_its_room():
    errors = {agent: f"{agent} fails " + "of something " * 50 for agent in AGENTS}
    whole = prompts.repair_prompt(errors, AGENTS)
    room = estimate_tokens(whole) * 2 // 3
    cut = prompts.repair_prompt(errors, AGENTS, max_tokens=room)
    assert estimate_tokens(cut) <= room
    assert all(f"{agent} fails of something" in cut for agent in AGENTS)
    assert len(prompts.repair_prompt(errors, AGENTS, max_tokens=1)) < len(cut)


def test_feedback_without_anything_to_report_says_none():
    text = prompts.feedback_prompt(CycleFeedback(0, 0, (), ()), AGENTS)
    assert text.count("\nnone\n") == 3


def test_the_function_table_is_the_one_of_the_environment(context):
    text = prompts.initial_prompt(context)
    for function in routing_functions().functions.values():
        assert f"- {function.signature}: {function.description}" in text


def test_long_paths_and_plans_are_cut(feedback):
    long = outcome("vehicle_0", path=tuple(range(500)), instructions=(BY_TIME,) * 100)
    text = prompts.feedback_prompt(CycleFeedback(0, 0, (long,), ()), AGENTS)
    assert "39 ... 490" in text
    assert "and 88 more" in text


def test_curly_and_dollar_signs_of_a_program_do_not_break_the_templates():
    assert "KeyError: '$x {y}'" in prompts.repair_prompt({"vehicle_0": "KeyError: '$x {y}'"}, AGENTS)
