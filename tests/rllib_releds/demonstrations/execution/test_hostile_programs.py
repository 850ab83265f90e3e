"""No program escapes, runs past its limits, or disturbs another one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hostile import BODIES, EXPECTED_LIMITS, TEXTS, hostile_programs

from rllib_releds.demonstrations import ProgramRun, SandboxLimits, extract_programs, run_program
from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations
from rllib_releds.demonstrations.execution.running_program import RunningProgram
from rllib_releds.demonstrations.execution.sandbox import Sandbox

LIMITS = SandboxLimits(
    max_calls=200, max_moves=20, turn_s=0.25, total_s=2.0, memory_bytes=2_000_000, max_output_chars=10_000
)
# For programs that must succeed, on a machine that may stall; and beside them for hostile ones, which then take longer.
PATIENT = replace(LIMITS, turn_s=1.0, total_s=20.0)
HOSTILE = hostile_programs()
SECRET = "sentinel-9f3a7c"
SECRET_VARIABLE = "RELED_TEST_SECRET"
WELL_BEHAVED = """
import math
import random

seen = []


def agent_1():
    for node in sorted([13, 6, 10], key=get_shortest_time):
        seen.append(round(random.random(), 6))
        print(node, max([1, 2, 3], key=lambda n: -n), math.sqrt(16), seen)
        move_to_by_shortest_path(node)
    move_to_by_shortest_time(get_destination())
"""
GOOD = WELL_BEHAVED.replace("agent_1", "agent_0")
FUNCTIONS = {
    "move_to_by_shortest_path": lambda node: True,
    "move_to_by_shortest_time": lambda node: True,
    "get_origin": lambda: 0,
    "get_destination": lambda: 15,
    "get_shortest_dist": lambda node: 100.0 * node,
    "get_shortest_time": lambda node: 10.0 * node,
    "get_nearest_node": lambda x, y: 5,
    "get_node_coord": lambda node: (100.0 * node, 0.0),
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(LIMITS) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def usual(sandbox: Sandbox) -> ProgramRun:
    """What the well-behaved program does when nobody disturbs it."""
    run = run_program(WELL_BEHAVED, FUNCTIONS, sandbox=sandbox)
    assert run.error is None
    assert len(run.moves) == 4
    return run


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A hostile text with the names of a secret file and variable filled in, and the folder that must stay as it is."""
    secret_file = tmp_path / "secret.txt"
    secret_file.write_text(SECRET)
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)
    monkeypatch.chdir(tmp_path)

    def prepare(key: tuple[str, str]) -> str:
        text = HOSTILE[key].replace("SECRET_FILE", str(secret_file)).replace("NEW_FILE", str(tmp_path / "new"))
        return text.replace("SECRET_VARIABLE", SECRET_VARIABLE)

    yield prepare
    assert os.listdir(tmp_path) == ["secret.txt"], "a program made or removed a file"
    assert secret_file.read_text() == SECRET


def ids(key: tuple[str, str]) -> str:
    return f"{key[0]}: {key[1]}"


def test_there_are_many_hostile_programs_and_no_two_are_the_same():
    assert len(set(HOSTILE.values())) == len(HOSTILE) >= 250


@pytest.mark.parametrize("key", HOSTILE, ids=ids)
def test_a_hostile_program_stays_inside_its_limits_and_learns_nothing(key, sandbox, usual, prepared):
    sandbox.limits = PATIENT
    begun = Bystander(sandbox)
    sandbox.limits = LIMITS
    run = run_program(prepared(key), FUNCTIONS, sandbox=sandbox)
    sandbox.limits = PATIENT
    assert SECRET not in repr(run)
    assert len(run.calls) <= LIMITS.max_calls
    assert len(run.moves) <= LIMITS.max_moves
    assert len(run.output) <= LIMITS.max_output_chars
    assert len(run.error or "") <= 600
    if key[0] in EXPECTED_LIMITS:
        assert run.limit in EXPECTED_LIMITS[key[0]], run.error
    assert begun.finish() == usual.output
    after = run_program(WELL_BEHAVED, FUNCTIONS, sandbox=sandbox)
    assert (after.calls, after.output, after.error) == (usual.calls, usual.output, None)


def demonstrations(texts: dict[str, str]) -> GivenDemonstrations:
    """Programs out of replies of a model, as training makes them; the fallback drives whoever has no usable one."""
    programs, missing = {}, {}
    for agent, text in texts.items():
        name = agent.replace("vehicle", "agent")
        extraction = extract_programs(json.dumps({name: text.replace("agent_0", name)}), [agent])
        programs |= extraction.programs
        missing |= extraction.errors
    return GivenDemonstrations(programs, missing, PATIENT)


@pytest.mark.parametrize("group", [*BODIES, *TEXTS])
def test_hostile_programs_of_some_agents_do_not_change_the_trips_of_others(group, world, prepared):
    keys = [key for key in HOSTILE if key[0] == group and len(HOSTILE[key]) < 100_000]
    trips = tuple(replace(world.trips[0], agent=f"vehicle_{number}") for number in range(len(keys) + 3))
    good = {trip.agent: GOOD for trip in trips[len(keys) :]}
    hostile = {trip.agent: prepared(key) for trip, key in zip(trips, keys, strict=False)}
    agents = [*hostile, *good]
    alone = replace(world, trips=trips, edges={}).drive(demonstrations(good).demonstrator(list(good)), list(good))
    together = replace(world, trips=trips, edges={}).drive(demonstrations(hostile | good).demonstrator(agents), agents)
    for agent in good:
        assert together[0][agent] == alone[0][agent]
        assert together[1][agent].instructions == alone[1][agent].instructions
        assert together[1][agent].error is None
    for agent in hostile:
        assert together[1][agent].error is None or SECRET not in together[1][agent].error


def test_an_expert_episode_with_ten_hostile_agents_goes_as_if_they_had_no_program(make_env):
    env = make_env(num_agents=20, demand="none")
    agents = env.possible_agents
    # None of these gets as far as a movement, so the fallback drives its vehicle from the start.
    groups = ("endless loops", "memory bombs", "dunder walks", "files", "recursion")
    names = [next(key for key in HOSTILE if key[0] == group) for group in groups for _ in range(2)]
    hostile = {agent: HOSTILE[key] for agent, key in zip(agents[:10], names, strict=True)}
    good = dict.fromkeys(agents[10:], GOOD)
    without, with_hostile = drive(env, demonstrations(good)), drive(env, demonstrations(good | hostile))
    assert with_hostile[0].arrival_rate == without[0].arrival_rate == 1.0
    for agent in agents:
        assert with_hostile[0][agent].travel_time_s == without[0][agent].travel_time_s
        assert with_hostile[1][agent].instructions == without[1][agent].instructions
    assert [agent for agent in agents if without[1][agent].error is None] == list(good)
    assert [agent for agent in agents if with_hostile[1][agent].fell_back] == list(hostile)


def drive(env, programs: GivenDemonstrations):
    """The episode and the traces when every agent follows its demonstration."""
    env.reset(seed=0)
    demonstrator = programs.demonstrator(env.possible_agents)
    demonstrator.start({agent: env.navigator(agent) for agent in env.possible_agents})
    while env.agents:
        env.step({agent: demonstrator.act(agent) for agent in env.deciders})
    return env.episode(), demonstrator.finish()


def test_a_thousand_programs_in_sequence_leave_no_memory_and_no_process_behind(usual):
    texts = [WELL_BEHAVED, *HOSTILE.values()]
    with Sandbox(replace(LIMITS, turn_s=0.03, total_s=0.03)) as sandbox:
        run_many(sandbox, texts, 200)  # interpreters and allocators reach their working size
        memory_before, children_before = memory_mb(sandbox), children()
        run_many(sandbox, texts, 1000)
        assert children() == children_before
        assert memory_mb(sandbox) - memory_before < 30
        sandbox.limits = LIMITS
        last = run_program(WELL_BEHAVED, FUNCTIONS, sandbox=sandbox)
    assert (last.calls, last.output) == (usual.calls, usual.output)


def run_many(sandbox: Sandbox, texts: Sequence[str], number: int) -> None:
    for row in range(number):
        run_program(texts[row % len(texts)], FUNCTIONS, sandbox=sandbox)


def memory_mb(sandbox: Sandbox) -> float:
    """Resident memory of this process and of the worker."""
    with sandbox.session() as session:
        processes = [os.getpid(), session.worker_pid]
    pages = sum(int(Path(f"/proc/{process}/statm").read_text().split()[1]) for process in processes)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def children() -> int:
    """How many child processes there are."""
    return sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children"))


class Bystander:
    """The well-behaved program, parked at its first movement until `finish`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._running = RunningProgram(sandbox, Program("vehicle_1", WELL_BEHAVED, "agent_1"), self)
        self._running.begin()

    def answer(self, name, values):
        return FUNCTIONS[name](*values)

    def check_movement(self, name, target):
        pass

    def is_certain(self, name):
        return False

    def is_last(self, target):
        return False

    def finish(self) -> str:
        while self._running.waiting_for is not None:
            self._running.resume(True)
        return self._running.output
