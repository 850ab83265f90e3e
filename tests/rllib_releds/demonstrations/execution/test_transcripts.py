"""Programs that do the same in every episode run once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations
from rllib_releds.demonstrations.execution import transcripts
from rllib_releds.demonstrations.execution.running_program import RunningProgram
from rllib_releds.demonstrations.execution.sandbox import Sandbox
from rllib_releds.demonstrations.functions import NavigatorHost

STATIC = """
x, y = get_node_coord(get_destination())
move_to_by_shortest_path(get_nearest_node(x - 300, y))
move_to_by_shortest_time(get_destination())
"""
LIVE = """
if get_shortest_time(3) < 1000:
    move_to_by_shortest_path(3)
move_to_by_shortest_time(get_destination())
"""


@pytest.fixture(autouse=True)
def nothing_remembered():
    transcripts.forget_all()
    yield
    transcripts.forget_all()


@pytest.fixture
def runs(monkeypatch) -> list[None]:
    """One entry per interpreter that was begun or woken."""
    begun: list[None] = []
    session = Sandbox.session

    def counted(self, **options):
        begun.append(None)
        return session(self, **options)

    monkeypatch.setattr(Sandbox, "session", counted)
    return begun


def demonstrations(body: str, agent: str = "vehicle_0") -> GivenDemonstrations:
    lines = "\n".join(f"    {line}" for line in body.strip("\n").split("\n"))
    return GivenDemonstrations({agent: Program(agent, f"def go():\n{lines}\n", "go")})


def drive(world, body: str, agent: str = "vehicle_0"):
    world.edges.clear()
    paths, traces = world.drive(demonstrations(body, agent).demonstrator([agent]), [agent])
    return paths[agent], traces[agent]


def same(one, other) -> bool:
    (path, trace), (other_path, other_trace) = one, other
    return (
        path == other_path
        and trace.instructions == other_trace.instructions
        and trace.instruction_at.tolist() == other_trace.instruction_at.tolist()
        and trace.error == other_trace.error
    )


def test_a_program_that_asks_nothing_about_the_moment_runs_once(world, runs):
    first = drive(world, STATIC)
    assert len(runs) == 1
    world.times_s[:] *= 3.0
    assert same(drive(world, STATIC), first)
    assert len(runs) == 1


@pytest.mark.parametrize(
    "body", [LIVE, f"move_to_by_shortest_path(5)\n{LIVE}", "move_to_by_shortest_path(5)\nreturn 1 / 0", "return 1 / 0"]
)
def test_a_program_that_asks_about_the_moment_or_fails_runs_each_time(world, runs, body):
    first = drive(world, body)
    in_one_episode = len(runs)
    assert same(drive(world, body), first)
    assert len(runs) == 2 * in_one_episode > 0


def test_a_live_answer_counts_each_time(world):
    assert [i.target for i in drive(world, LIVE)[1].instructions] == [3, 15]
    world.times_s[:] = 10_000.0
    assert [i.target for i in drive(world, LIVE)[1].instructions] == [15]


def test_a_program_that_ends_too_early_says_so_each_time(world, runs):
    for _ in range(2):
        path, trace = drive(world, "move_to_by_shortest_path(3)")
        assert path[-1] == 15
        assert "ended at junction 3" in trace.error
    assert len(runs) == 1


def test_another_trip_gets_other_answers(world, runs):
    # The same program of an agent that is elsewhere: in another scenario.
    first, _ = drive(world, "move_to_by_shortest_time(get_destination())")
    there = next(trip for trip in world.trips if trip.agent == "vehicle_3")
    elsewhere = type(world)(world.network, (replace(there, agent="vehicle_0"),))
    other, trace = drive(elsewhere, "move_to_by_shortest_time(get_destination())")
    assert (first[-1], other[-1]) == (15, 0)
    assert not trace.fell_back
    assert len(runs) == 2


def test_what_ended_at_one_destination_is_not_known_of_a_trip_to_another(world, runs):
    body = "move_to_by_shortest_path(5)\nmove_to_by_shortest_path(3)"
    usual = next(trip for trip in world.trips if trip.agent == "vehicle_0")
    for destination, targets in ((5, [5]), (3, [5, 3])):
        path, trace = drive(type(world)(world.network, (replace(usual, destination=destination),)), body)
        assert [one.target for one in trace.instructions] == targets
        assert path[-1] == destination
        assert not trace.fell_back
    assert len(runs) == 2


def test_the_oldest_is_forgotten(world, runs, monkeypatch):
    monkeypatch.setattr(transcripts, "MAX_REMEMBERED", 2)
    bodies = [f"move_to_by_shortest_path({node})\nmove_to_by_shortest_time(15)" for node in (1, 2, 3)]
    for body in bodies:
        drive(world, body)
    assert len(runs) == 3
    drive(world, bodies[2])
    assert len(runs) == 3
    drive(world, bodies[0])
    assert len(runs) == 4


def test_the_one_that_was_not_wanted_for_the_longest_time_is_forgotten(world, runs, monkeypatch):
    monkeypatch.setattr(transcripts, "MAX_REMEMBERED", 2)
    first, second, third = (f"move_to_by_shortest_path({node})\nmove_to_by_shortest_time(15)" for node in (1, 2, 3))
    for body in (first, second, first, third):
        drive(world, body)
    assert len(runs) == 3
    drive(world, first)
    assert len(runs) == 3
    drive(world, second)
    assert len(runs) == 4


@pytest.mark.parametrize(("questions", "in_all"), [(150, 1), (300, 2)])
def test_what_does_very_much_is_not_remembered(world, runs, questions, in_all):
    body = f"for _ in range({questions}):\n    get_node_coord(5)\nmove_to_by_shortest_time(15)"
    first = drive(world, body)
    assert same(drive(world, body), first)
    assert len(runs) == in_all


class SometimesCertain(NavigatorHost):
    """A host whose certainty depends on the instance."""

    def __init__(self, navigator, doubtful: str = "") -> None:
        super().__init__(navigator)
        self._doubtful = doubtful

    def is_certain(self, name):
        return name != self._doubtful and super().is_certain(name)


@pytest.mark.parametrize(
    ("doubtful", "is_known"),
    [("", True), ("get_nearest_node", True), ("get_destination", False), ("move_to_by_shortest_time", False)],
)
def test_a_host_that_is_less_certain_gets_no_transcript_of_another(world, doubtful, is_known):
    program = Program("vehicle_0", "def go():\n    move_to_by_shortest_time(get_destination())\n", "go")
    with Sandbox() as sandbox:
        running = RunningProgram(sandbox, program, certain := SometimesCertain(world.navigator("vehicle_0")))
        running.begin()
        transcripts.remember(program, sandbox.limits, certain, running.transcript)
        other = SometimesCertain(world.navigator("vehicle_0"), doubtful)
        assert (transcripts.recall(program, sandbox.limits, other) is not None) == is_known
