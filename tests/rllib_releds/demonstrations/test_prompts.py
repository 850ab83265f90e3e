"""Golden tests: a change of wording shows as a diff of the files in `golden/`.

Write them anew with `UPDATE_GOLDEN=1 pytest tests/rllib_releds/demonstrations/test_prompts.py` and read the diff.
"""

import os
from pathlib import Path

import pytest

from rllib_releds.demonstrations import prompts
from rllib_releds.demonstrations.calls import navigation_functions
from rllib_releds.demonstrations.feedback import AgentOutcome, CycleFeedback
from rllib_releds.demonstrations.stationarity import DivergencePair, SubsetFeedback, VolatilityPair
from sumo_marl_env import Instruction

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
        "fell_back": False,
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
        fell_back=True,
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


def test_feedback_prompt_without_stationarity_measures(feedback):
    text = prompts.feedback_prompt(feedback, AGENTS, stationarity=False)
    check("feedback_leed", text)
    assert "divergence" not in text.lower()


def test_repair_prompt_names_only_the_failing_agents():
    errors = {"vehicle_3": "there is no function agent_3() in the reply", "vehicle_1": "SyntaxError: " + "x" * 1000}
    text = prompts.repair_prompt(errors, AGENTS)
    check("repair", text)
    assert "agent_0" not in text


def test_feedback_without_anything_to_report_says_none():
    text = prompts.feedback_prompt(CycleFeedback(0, 0, (), ()), AGENTS)
    assert text.count("\nnone\n") == 3


def test_the_function_table_is_the_one_of_the_environment(context):
    text = prompts.initial_prompt(context)
    for function in navigation_functions().values():
        assert f"- {function.signature}: {function.description}" in text


def test_long_paths_and_plans_are_cut(feedback):
    long = outcome("vehicle_0", path=tuple(range(500)), instructions=(BY_TIME,) * 100)
    text = prompts.feedback_prompt(CycleFeedback(0, 0, (long,), ()), AGENTS)
    assert "39 ... 490" in text
    assert "and 88 more" in text


def test_curly_and_dollar_signs_of_a_program_do_not_break_the_templates():
    assert "KeyError: '$x {y}'" in prompts.repair_prompt({"vehicle_0": "KeyError: '$x {y}'"}, AGENTS)
