import json
import math
import re

import pytest

from rllib_releds.demonstrations import prompts
from rllib_releds.demonstrations.chat import ChatSettings, Message
from rllib_releds.demonstrations.demonstrators import PlanDemonstrations, ProgramDemonstrations
from rllib_releds.demonstrations.feedback import AgentOutcome, CycleFeedback
from rllib_releds.demonstrations.planner import Choice, Outcome, PlannerChat, plan_reply, revised, without_loops
from rllib_releds.demonstrations.programs import extract_programs
from rllib_releds.demonstrations.routes import extract_routes
from rllib_releds.demonstrations.stationarity import DivergencePair, SubsetFeedback
from sumo_marl_env import Instruction

AGENTS = ["vehicle_0", "vehicle_1", "vehicle_2", "vehicle_3"]


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
        "path": (0, 1, 2, 3, 7, 11, 15),
        "instructions": (Instruction("move_to_by_shortest_time", 15),),
        "error": None,
        "fell_back": False,
        "policy_reward": 400.0,
        "policy_best_time_s": None,
        "policy_best_path": (),
    }
    return AgentOutcome(**(values | changes))


def feedback(*outcomes: AgentOutcome, divergence: float = 0.0) -> str:
    pair = DivergencePair("vehicle_0", Instruction("move_to_by_shortest_time", 15), divergence, 0, 0.0, 0, (1.0,))
    subset = SubsetFeedback(("vehicle_0",), 0.0, 0, (), (pair,) if divergence else (), 0.0)
    return prompts.feedback_prompt(CycleFeedback(0, 0, outcomes, (subset,)), AGENTS)


def bodies(reply: str) -> dict[str, str]:
    return dict(re.findall(r"def (\w+)\(\):\n    #.*\n((?:    .*\n?)+)", reply))


def test_the_first_answer_has_a_good_program_for_every_agent(begun, world):
    extraction = extract_programs(begun[-1].content, AGENTS)
    assert not extraction.errors
    paths, traces = world.drive(ProgramDemonstrations(extraction.programs).demonstrator(AGENTS), AGENTS)
    for agent in AGENTS:
        assert not traces[agent].fell_back
        assert len(paths[agent]) == 7  # the shortest there is


def test_what_works_is_kept(begun):
    request = Message("user", feedback(*(outcome(agent) for agent in AGENTS)))
    assert bodies(plan_reply([*begun, request])) == bodies(begun[-1].content)


def test_a_quicker_route_of_the_policy_is_taken_over(begun, world):
    better = outcome("vehicle_0", policy_best_time_s=80.0, policy_best_path=(0, 1, 5, 9, 13, 14, 15))
    request = Message("user", feedback(better, *(outcome(agent) for agent in AGENTS[1:])))
    reply = plan_reply([*begun, request])
    programs = extract_programs(reply, AGENTS).programs
    paths, _ = world.drive(ProgramDemonstrations(programs).demonstrator(["vehicle_0"]), ["vehicle_0"])
    assert paths["vehicle_0"] == [0, 1, 5, 9, 13, 14, 15]
    assert bodies(reply)["agent_1"] == bodies(begun[-1].content)["agent_1"]


def test_what_was_tried_is_remembered_in_the_conversation(begun):
    worse = outcome("vehicle_0", policy_best_time_s=80.0, policy_best_path=(0, 1, 5, 9, 13, 14, 15))
    first = Message("user", feedback(worse))
    second = Message("assistant", plan_reply([*begun, first]))
    disappointing = outcome("vehicle_0", travel_time_s=150.0)
    third = plan_reply([*begun, first, second, Message("user", feedback(disappointing))])
    assert "agent_0 goes by time" in third
    assert "time 100 s" in third
    assert "route 150 s" in third


def test_a_repair_answers_only_for_the_agents_named(begun):
    request = Message("user", prompts.repair_prompt({"vehicle_2": "broken"}, AGENTS))
    assert list(bodies(plan_reply([*begun, request]))) == ["agent_2"]


@pytest.mark.parametrize(
    ("previous", "changes", "way"),
    [
        (None, {}, "time"),
        (Choice("distance"), {}, "distance"),
        (Choice("time"), {"arrived": False}, "distance"),
        (Choice("time"), {"failed": True}, "distance"),
        (Choice("route", (0, 1, 5)), {"failed": True}, "time"),
        (Choice("distance", (), {"time": 90.0}), {}, "time"),
        (Choice("distance", (), {"time": 99.0}), {}, "distance"),
        (Choice("time"), {"is_disturbing": True}, "distance"),
        (Choice("time", (), {"distance": 200.0}), {"is_disturbing": True}, "time"),
        (Choice("time"), {"policy_time_s": 90.0, "policy_path": (0, 1, 5)}, "route"),
        (Choice("time"), {"policy_time_s": 102.0, "policy_path": (0, 1, 5)}, "time"),
        (Choice("time"), {"policy_time_s": 102.0, "policy_path": (0, 1, 5), "divergence": 9.0}, "route"),
        (Choice("time"), {"policy_time_s": 140.0, "policy_path": (0, 1, 5), "divergence": 9.0}, "time"),
        (Choice("time", (), {"time": math.inf, "distance": math.inf}), {"arrived": False}, "time"),
    ],
)
def test_revision_rules(previous, changes, way):
    values = {
        "arrived": True,
        "failed": False,
        "time_s": 100.0,
        "instructions": "move_to_by_shortest_time(15)",
        "policy_time_s": math.inf,
        "policy_path": (),
        "is_disturbing": False,
        "divergence": 0.0,
    }
    assert revised(previous, Outcome(**(values | changes))).way == way


def test_routes_are_answered_where_there_are_no_functions(context, world):
    messages = [
        Message("system", prompts.initial_prompt(context, interfaces=False)),
        Message("user", prompts.trigger_prompt(interfaces=False)),
    ]
    extraction = extract_routes(plan_reply(messages), world.trips, world.network)
    assert not extraction.errors
    paths, traces = world.drive(PlanDemonstrations(extraction.plans).demonstrator(AGENTS), AGENTS)
    assert all(len(path) == 7 for path in paths.values())
    assert not any(trace.fell_back for trace in traces.values())


def test_loops_are_cut_out_of_paths():
    assert without_loops([1, 2, 3, 4, 2, 5, 1, 6]) == (1, 6)
    assert without_loops([1, 2, 3]) == (1, 2, 3)


def test_a_conversation_without_agents_gets_a_sentence():
    assert "no agents" in plan_reply([Message("user", "hello")])


def test_the_planner_answers_as_a_chat_model(begun):
    reply = PlannerChat().complete(begun[:2], ChatSettings(model="offline/planner"))
    assert reply.text == begun[-1].content
    assert reply.tokens > 0


def test_replies_are_a_pure_function_of_the_text(begun):
    assert plan_reply(json.loads(json.dumps([]))) == plan_reply([])
    assert plan_reply(begun[:2]) == begun[-1].content
