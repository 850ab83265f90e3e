"""A second world, far from roads, goes through the same cycle: walkers in a corridor of ten cells."""

import pickle
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

from rllib_releds.demonstrations.domain import UnreachableError
from rllib_releds.demonstrations.errors import CallError
from rllib_releds.demonstrations.feedback import AgentOutcome, CycleFeedback
from rllib_releds.demonstrations.functions import FunctionTable
from rllib_releds.demonstrations.gate import DemonstrationGate
from rllib_releds.demonstrations.language_model import LanguageModelCallback
from rllib_releds.demonstrations.models.chat import ChatSettings, ScriptedChat
from rllib_releds.demonstrations.protocol import DemonstrationContext
from rllib_releds.weighting import mean_path_distance
from sumo_marl_env import Plan

CELLS = 10


class Task(NamedTuple):
    agent: str
    start: int
    goal: int


class Walk(NamedTuple):
    function: str
    target: int


class WalkFunctions:
    def get_cell(self) -> int:
        """The cell that the agent stands on."""

    def walk_to(self, cell: int) -> bool:
        """Walk to a cell of the corridor."""


@dataclass
class Walker:
    """One agent in the corridor: action 1 steps to the right, 0 to the left."""

    task: Task
    path: list[int]

    def answer(self, name, values):
        return self.path[-1]

    def check_movement(self, name, target):
        if not 0 <= target < CELLS:
            raise CallError(f"there is no cell {target}")

    def is_certain(self, name):
        return False

    def is_last(self, target):
        return target == self.task.goal

    @property
    def host(self):
        return self

    @property
    def fallback(self) -> Walk:
        return Walk("walk_to", self.task.goal)

    def is_done(self, instruction, is_first) -> bool:
        return self.path[-1] == instruction.target

    def action(self, instruction) -> int:
        if instruction.target == 4:
            raise UnreachableError("somebody sleeps there")
        return int(instruction.target > self.path[-1])

    def why_unfinished(self) -> str:
        return f"stopped in cell {self.path[-1]}, before {self.task.goal}"


@dataclass(frozen=True)
class CorridorDomain:
    @property
    def functions(self) -> FunctionTable:
        return FunctionTable.of(WalkFunctions, ["walk_to"], Walk)

    def executor(self, view):
        return view

    def host_at_start(self, context, agent):
        return next(Walker(task, [task.start]) for task in context.trips if task.agent == agent)

    def coordinates(self, network, path):
        return np.array(path, float)[:, None]

    def extent(self, network):
        return float(network)

    def initial_prompt(self, context, *, interfaces=True, limits=None, max_tokens=None):
        table = ", ".join(function.signature for function in self.functions.functions.values())
        return f"A corridor of {context.network} cells. You may call {table}."

    def trigger_prompt(self, *, interfaces=True):
        return "Begin."

    def feedback_prompt(self, feedback, agents, *, interfaces=True, stationarity=True, max_tokens=None):
        return f"{feedback.execution_rate:.0%} got there."

    def repair_prompt(self, errors, agents, *, interfaces=True, max_tokens=None):
        return f"Mend {errors}."

    def plans(self, reply, context, agents):
        if not reply.isdigit():
            return {}, dict.fromkeys(agents, reply)
        return {agent: Plan(agent, (Walk("walk_to", int(reply)),)) for agent in agents}, {}


@pytest.fixture
def context() -> DemonstrationContext:
    tasks = (Task("walker_0", 1, 7), Task("walker_1", 8, 2))
    return DemonstrationContext(0, 0, CELLS, tasks, "a corridor", None, 0)


def ask(context, *replies, **options):
    chat = ScriptedChat(replies)
    made = LanguageModelCallback(chat, ChatSettings(model="m"), domain=CorridorDomain(), **options)
    return made, chat, made(context)


def walk(context, demonstrations) -> tuple[dict, dict]:
    """Paths and traces of all agents, at most twenty steps each."""
    walkers = {task.agent: Walker(task, [task.start]) for task in context.trips}
    demonstrator = pickle.loads(pickle.dumps(demonstrations)).demonstrator(list(walkers))
    demonstrator.start(walkers)
    for _ in range(20):
        for agent, walker in walkers.items():
            if walker.path[-1] != walker.task.goal:
                walker.path.append(walker.path[-1] + (1 if demonstrator.act(agent) else -1))
    return {agent: walker.path for agent, walker in walkers.items()}, demonstrator.finish()


GOOD = """```python
def walk_to(cell): ...

def agent_0():
    walk_to(4)
    walk_to("9")
    walk_to(get_cell() - 2)

def agent_1():
    if get_cell() > 5:
        walk_to(6)
```"""


def test_programs_of_another_domain_are_carried_out_by_its_executor(context):
    _, chat, demonstrations = ask(context, GOOD)
    assert "get_cell() -> int, walk_to(cell: int) -> bool" in chat.requests[0][0].content
    paths, traces = walk(context, demonstrations)
    assert paths["walker_0"] == [1, 2, 3, 4, 5, 6, 7]
    assert traces["walker_0"].instructions == (Walk("walk_to", 4), Walk("walk_to", 9))
    assert not traces["walker_0"].fell_back
    assert paths["walker_1"] == [8, 7, 6, 5, 4, 3, 2]
    assert traces["walker_1"].error == "stopped in cell 6, before 2"
    assert traces["walker_1"].instructions[-1] == Walk("walk_to", 2)


def test_a_program_with_functions_of_another_domain_is_sent_back_for_repair(context):
    roads = GOOD.replace("get_cell()", "get_destination()").replace("walk_to(6)", "move_to_by_shortest_path(6)")
    _, chat, demonstrations = ask(context, roads, GOOD)
    assert chat.requests[1][-1].content.startswith("Mend {'walker_0': ")
    assert "get_destination" in chat.requests[1][-1].content
    assert set(demonstrations.contents) == {"walker_0", "walker_1"}


def test_feedback_and_memory_go_by_the_domains_own_words(context):
    made, chat, demonstrations = ask(context, GOOD)
    paths, traces = walk(context, demonstrations)
    outcomes = [
        AgentOutcome(
            agent=agent, arrived=True, exit="arrived", travel_time_s=6.0, reward=-len(path), path=tuple(path),
            instructions=traces[agent].instructions, error=traces[agent].error,
            policy_reward=0.0, policy_best_time_s=None, policy_best_path=(),
        )
        for agent, path in paths.items()
    ]  # fmt: skip
    gate = DemonstrationGate(domain=CorridorDomain())
    feedback = gate.judge(demonstrations, CycleFeedback(0, 0, tuple(outcomes), ()))
    made(DemonstrationContext(1, 1, CELLS, context.trips, "a corridor", feedback, 0))
    assert chat.requests[-1][-1].content == "50% got there."
    again = DemonstrationGate(domain=CorridorDomain())
    again.set_state(pickle.loads(pickle.dumps(gate.get_state())))
    assert walk(context, again.demonstrations())[0] == paths


def test_replies_without_programs_are_read_by_the_domain(context):
    made, _, demonstrations = ask(context, "no plan of mine", interfaces=False)
    assert "no plan of mine" in made.failure
    paths, traces = walk(context, demonstrations)
    assert paths["walker_0"][-1] == 7
    assert all(trace.fell_back for trace in traces.values())


def test_plans_of_another_domain_survive_a_restart(context):
    made, _, _ = ask(context, "6", interfaces=False)
    again, _, _ = ask(context, "5", "nothing", "nothing", interfaces=False)
    again.set_state(pickle.loads(pickle.dumps(made.get_state())))
    assert again(context).contents["walker_0"].instructions == (Walk("walk_to", 6),)


def test_distances_of_paths_are_measured_in_the_domains_coordinates():
    distance = mean_path_distance(CorridorDomain(), CELLS, [[1, 2, 3]], [1, 2, 5], dtw_scale=1.0)
    assert distance.raw_m == pytest.approx(2.0)
    assert distance.normalised == pytest.approx(2.0 / 3 / CELLS)
