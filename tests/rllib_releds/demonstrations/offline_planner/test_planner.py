import re
from dataclasses import replace
from itertools import pairwise, zip_longest

import pytest

from rllib_releds.demonstrations.answers.programs import extract_programs
from rllib_releds.demonstrations.answers.routes import extract_routes
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations
from rllib_releds.demonstrations.feedback import AgentOutcome, CycleFeedback, KeptVersion
from rllib_releds.demonstrations.models.chat import ChatSettings, Message
from rllib_releds.demonstrations.offline_planner.assignment import fastest, road_costs
from rllib_releds.demonstrations.offline_planner.planner import PlannerChat, kept_route, plan_reply
from rllib_releds.demonstrations.offline_planner.reading import (
    Measured,
    Result,
    read_feedback,
    read_map,
    read_tasks,
    without_loops,
)
from rllib_releds.demonstrations.prompting import prompts
from rllib_releds.demonstrations.roads import RoadTime
from rllib_releds.demonstrations.stationarity import DivergencePair, SubsetFeedback, VolatilityPair
from sumo_marl_env import Instruction

AGENTS = ["vehicle_0", "vehicle_1", "vehicle_2", "vehicle_3"]
LIVE = "move_to_by_shortest_time(get_destination())"
STRAIGHT, OTHER = (0, 1, 2, 3, 7, 11, 15), (0, 1, 5, 9, 13, 14, 15)


@pytest.fixture
def begun(context):
    """System prompt, request and first answer."""
    messages = [Message("system", prompts.initial_prompt(context)), Message("user", prompts.trigger_prompt())]
    return [*messages, Message("assistant", plan_reply(messages))]


def outcome(agent: str, **changes) -> AgentOutcome:
    values = {
        "agent": agent,
        "arrived": True,
        "exit": "arrived",
        "travel_time_s": 100.0,
        "reward": 500.0,
        "path": STRAIGHT,
        "instructions": (Instruction("move_to_by_shortest_time", 15),),
        "error": None,
        "policy_reward": 400.0,
        "policy_best_time_s": None,
        "policy_best_path": (),
    }
    return AgentOutcome(**(values | changes))


def feedback(*outcomes: AgentOutcome, roads=(), kept=None, divergence: float = 0.0, loss: float = 0.0) -> Message:
    by_time = Instruction("move_to_by_shortest_time", 15)
    pair = DivergencePair("vehicle_0", by_time, divergence, 0, 0.0, 0, (1.0,))
    volatile = VolatilityPair("vehicle_0", by_time, 3, 30.0, loss, 5)
    subset = SubsetFeedback(("vehicle_0",), 0.0, 0, (volatile,) if loss else (), (pair,) if divergence else (), 0.0)
    return Message(
        "user", prompts.feedback_prompt(CycleFeedback(0, 0, outcomes, (subset,), tuple(roads), kept or {}), AGENTS)
    )


def bodies(reply: str) -> dict[str, str]:
    return dict(re.findall(r"def (agent_\d+)\(\):\n    (.*)", reply))


def revision(begun, *outcomes, **details) -> dict[str, str]:
    return bodies(plan_reply([*begun, feedback(*outcomes, **details)]))


def slow(*path: int, seconds: float = 60.0) -> list[RoadTime]:
    """The roads of a path after its first one, measured often."""
    return [RoadTime(*road, seconds, 3.0) for road in pairwise(path[1:])]


def test_the_first_answer_has_a_good_program_for_every_agent(begun, world):
    extraction = extract_programs(begun[-1].content, AGENTS)
    assert not extraction.errors
    paths, traces = world.drive(GivenDemonstrations(extraction.programs).demonstrator(AGENTS), AGENTS)
    for agent in AGENTS:
        assert not traces[agent].fell_back
        assert len(paths[agent]) == 7  # the shortest there is


def test_who_has_the_road_to_itself_follows_the_live_traffic(context):
    alone = replace(context, trips=context.trips[:1])
    assert bodies(plan_reply([Message("system", prompts.initial_prompt(alone))])) == {"agent_0": LIVE}


def test_a_crowd_is_spread_over_several_routes(network, context, world):
    crowd = type(world)(network, tuple(replace(world.trips[0], agent=f"vehicle_{number}") for number in range(12)))
    context = replace(context, trips=crowd.trips)
    agents = [trip.agent for trip in crowd.trips]
    messages = [Message("system", prompts.initial_prompt(context)), Message("user", prompts.trigger_prompt())]
    programs = extract_programs(plan_reply(messages), agents).programs
    paths, traces = crowd.drive(GivenDemonstrations(programs).demonstrator(agents), agents)
    assert not any(trace.fell_back for trace in traces.values())
    assert len({tuple(path) for path in paths.values()}) >= 3


def test_what_works_is_kept(begun):
    assert revision(begun, outcome("vehicle_0"))["agent_0"] == LIVE


def test_slow_roads_are_avoided(begun, world):
    request = feedback(*(outcome(agent) for agent in AGENTS[:1]), roads=slow(*STRAIGHT))
    programs = extract_programs(plan_reply([*begun, request]), AGENTS).programs
    paths, _ = world.drive(GivenDemonstrations(programs).demonstrator(["vehicle_0"]), ["vehicle_0"])
    assert len(paths["vehicle_0"]) == 7
    assert paths["vehicle_0"][2] == 5  # away from 1-2 at once


def test_a_slow_turn_is_avoided_while_the_road_before_it_is_used(context):
    town, tasks = read_map(prompts.initial_prompt(context)), read_tasks(prompts.initial_prompt(context))
    slow_turn = road_costs(town, {(0, 1, 2): Measured(100.0, 1.0, 20.0), (0, 1, 5): Measured(10.0, 1.0, 20.0)})
    assert fastest(town, slow_turn, {}, tasks["agent_0"])[:3] == (0, 1, 5)
    slow_end = road_costs(town, {(11, 15, None): Measured(100.0, 1.0, 20.0)})
    assert fastest(town, slow_end, {}, tasks["agent_0"])[-2] == 14


def test_the_more_trips_the_more_a_measured_time_counts(context):
    town = read_map(prompts.initial_prompt(context))
    few, many = (road_costs(town, {(0, 1, 5): Measured(50.0, 1.0, trips)}) for trips in (1.0, 20.0))
    assert few.road((0, 1), 5, {}) < many.road((0, 1), 5, {}) < 50.0
    assert few.doubt_s[0, 1, 5] > many.doubt_s[0, 1, 5] > 0.0


def tried(begun, kept, number_of_cycles: int = 12) -> set[str]:
    """What the planner makes of the same results, cycle by cycle."""
    turns = zip_longest(pairwise(STRAIGHT), STRAIGHT[2:])
    measured = [RoadTime(*road, 14.0, 1.0, then, 2.0) for road, then in turns]
    replies = []
    for cycle in range(number_of_cycles):
        message = feedback(outcome("vehicle_0"), roads=measured, kept=kept)
        request = replace(message, content=message.content.replace("(cycle 0,", f"(cycle {cycle},"))
        replies.append(bodies(plan_reply([*begun, request]))["agent_0"])
    return set(replies)


def test_other_routes_are_tried_where_the_best_one_is_kept_anyway(begun):
    live = (Instruction("move_to_by_shortest_time", 15),)
    assert len(tried(begun, {"vehicle_0": KeptVersion(0, True, 3, 500.0, 100.0, STRAIGHT, live)})) >= 3
    assert len(tried(begun, None)) == 1


def test_an_agent_stays_on_its_route_if_the_gain_is_small(begun):
    nearly = [RoadTime(1, 2, 12.0, 1.0)]
    assert revision(begun, outcome("vehicle_0"), roads=nearly)["agent_0"] == LIVE


def test_an_agent_that_disturbs_others_moves_for_a_small_gain(begun):
    nearly = [RoadTime(1, 2, 12.0, 1.0)]
    assert revision(begun, outcome("vehicle_0"), roads=nearly, loss=9.0)["agent_0"] != LIVE


def test_the_best_version_is_given_again_where_the_last_one_was_worse(begun):
    routed = (Instruction("move_to_by_shortest_path", 5), Instruction("move_to_by_shortest_time", 15))
    live = (Instruction("move_to_by_shortest_time", 15),)
    failed = {"travel_time_s": 300.0, "instructions": live}
    kept = {"vehicle_0": KeptVersion(0, False, 3, 500.0, 100.0, OTHER, routed)}
    assert revision(begun, outcome("vehicle_0", **failed), kept=kept)["agent_0"] == "follow([5, 9, 13, 14])"
    kept = {"vehicle_0": KeptVersion(0, False, 3, 500.0, 100.0, OTHER, live)}
    assert revision(begun, outcome("vehicle_0", **failed), kept=kept)["agent_0"] == LIVE


@pytest.mark.parametrize("changes", [{"arrived": False, "exit": "horizon"}, {"error": "NameError"}])
def test_what_failed_is_replaced_by_the_other_kind(begun, changes):
    routed = (Instruction("move_to_by_shortest_path", 5), Instruction("move_to_by_shortest_time", 15))
    assert revision(begun, outcome("vehicle_0", **changes))["agent_0"].startswith("follow(")
    assert revision(begun, outcome("vehicle_0", instructions=routed, **changes))["agent_0"] == LIVE


@pytest.mark.parametrize(("divergence", "body"), [(9.0, "follow([5, 9, 13, 14])"), (1.0, LIVE)])
def test_where_a_route_is_hard_to_imitate_the_policys_own_is_preferred(begun, divergence, body):
    known = outcome("vehicle_0", policy_best_time_s=102.0, policy_best_path=OTHER)
    assert revision(begun, known, divergence=divergence)["agent_0"] == body


def test_a_repair_answers_only_for_the_agents_named(begun):
    request = Message("user", prompts.repair_prompt({"vehicle_2": "broken"}, AGENTS))
    assert list(bodies(plan_reply([*begun, request]))) == ["agent_2"]


def test_prompts_are_read_back_as_they_were_meant(context, world):
    system = prompts.initial_prompt(context)
    tasks, town = read_tasks(system), read_map(system)
    assert (tasks["agent_1"].origin, tasks["agent_1"].heading, tasks["agent_1"].destination) == (3, 2, 12)
    assert len(town.free_s) == world.network.num_edges
    assert town.free_s[0, 1] == 10.0
    assert not town.allows(0, 1, 0)
    kept = {"vehicle_0": KeptVersion(4, False, 3, 500.0, 90.0, OTHER, ())}
    roads = [RoadTime(0, 1, 41.4, 2.25, then=5, trips=9.0), RoadTime(11, 15, 20.0, 1.0)]
    request = feedback(outcome("vehicle_0"), roads=roads, kept=kept)
    read = read_feedback(request.content)
    assert (read.results["agent_0"].best_s, read.results["agent_0"].best_path) == (90.0, OTHER)
    assert read.roads == {(0, 1, 5): Measured(41.0, 2.2, 9.0), (11, 15, None): Measured(20.0, 1.0, 1.0)}
    assert read.keeps_best
    assert not read_feedback(feedback(outcome("vehicle_0")).content).keeps_best


@pytest.mark.parametrize("max_tokens", [100, 400, 10_000])
def test_a_short_feedback_prompt_still_tells_the_best_route(max_tokens):
    kept = {agent: KeptVersion(4, False, 3, 500.0, 90.0, OTHER, ()) for agent in AGENTS}
    outcomes = tuple(outcome(agent) for agent in AGENTS)
    text = prompts.feedback_prompt(CycleFeedback(0, 0, outcomes, (), (), kept), AGENTS, max_tokens=max_tokens)
    assert all(result.best_path == OTHER for result in read_feedback(text).results.values())


def test_routes_are_answered_where_there_are_no_functions(context, world):
    messages = [
        Message("system", prompts.initial_prompt(context, interfaces=False)),
        Message("user", prompts.trigger_prompt(interfaces=False)),
    ]
    plans, errors = extract_routes(plan_reply(messages), world.trips, world.network)
    assert not errors
    paths, traces = world.drive(GivenDemonstrations(plans).demonstrator(AGENTS), AGENTS)
    assert all(len(path) == 7 for path in paths.values())
    assert not any(trace.fell_back for trace in traces.values())


def test_loops_are_cut_out_of_paths():
    assert without_loops([1, 2, 3, 4, 2, 5, 6, 7, 6, 8]) == (1, 2, 5, 6, 8)
    assert without_loops([1, 2, 3]) == (1, 2, 3)
    assert without_loops([]) == ()
    # Round the block, because the vehicle began on a road that leads away.
    assert without_loops([1, 2, 3, 4, 1, 5]) == (1, 2, 3, 4, 1, 5)


def test_a_best_route_that_begins_round_the_block_is_kept_as_it_is():
    path = (0, 1, 5, 4, 0, 4, 8, 12, 13, 14, 15)
    result = Result(True, 100.0, 1, best_path=(*path[:5], *path[3:]), best_is_live=True, policy_path=())
    assert kept_route(result) == (0, 1, 5, 4, 8, 12, 13, 14, 15)
    round_the_block = replace(result, best_path=(0, 1, 2, 6, 5, 4, 0, 3))
    assert kept_route(round_the_block) == (0, 1, 2, 6, 5, 4, 0, 3)


def test_a_conversation_without_agents_gets_a_sentence():
    assert "no agents" in plan_reply([Message("user", "hello")])


def test_the_planner_answers_as_a_chat_model(begun):
    reply = PlannerChat().complete(begun[:2], ChatSettings(model="offline/planner"))
    assert reply.text == begun[-1].content
    assert reply.tokens > 0


def test_replies_are_a_pure_function_of_the_text(begun):
    assert plan_reply(begun[:2]) == begun[-1].content
