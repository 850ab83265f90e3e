"""Programs run ahead of all episodes, as far as nothing depends on the moment."""

from __future__ import annotations

import pickle
import re

import pytest

from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations
from rllib_releds.demonstrations.execution import transcripts
from rllib_releds.demonstrations.execution.dry_run import dry_run
from rllib_releds.demonstrations.execution.limits import SandboxLimits
from rllib_releds.demonstrations.execution.sandbox import Sandbox
from rllib_releds.demonstrations.functions import NavigatorHost

LIMITS = SandboxLimits(max_moves=20, turn_s=0.3)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(LIMITS) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def nothing_remembered():
    transcripts.forget_all()
    yield
    transcripts.forget_all()


class CertainHost(NavigatorHost):
    """Before an episode nobody knows the traffic."""

    def answer(self, name, values):
        assert self.is_certain(name), f"{name} was asked before the episode"
        return super().answer(name, values)


def program(body: str) -> Program:
    lines = "\n".join(f"    {line}" for line in body.strip("\n").split("\n"))
    return Program("vehicle_0", f"def go():\n{lines}\n", "go")


def tried(sandbox, world, body: str) -> str | None:
    return dry_run(program(body), sandbox, CertainHost(world.navigator("vehicle_0")))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 1 / 0", r"ZeroDivisionError: division by zero \(line 2"),
        ("move_to_by_shortest_path(5)\nmove_to_by_shortest_path(99)", r"unknown junction 99; .* \(line 3"),
        ("route = [5, 6]\nfor i in range(3):\n    move_to_by_shortest_path(route[i])", r"IndexError: .* \(line 4"),
        ("move_to_by_shortest_path(5)\nx = get_node_coord('there')", "expected an int"),
        ("while True:\n    pass", "endless loop"),
        ("while True:\n    move_to_by_shortest_path(5)", "more than 20 movements"),
        ("if get_origin() == get_destination():\n    move_to_by_shortest_path(5)", "ended before it had moved"),
    ],
)
def test_what_would_fail_in_every_episode_fails_before(sandbox, world, body, words):
    error = tried(sandbox, world, body)
    assert error is not None
    assert re.search(words, error), error


@pytest.mark.parametrize(
    "body",
    [
        "while True:\n    move_to_by_shortest_time(get_destination())",
        "move_to_by_shortest_time(get_destination())\nmove_to_by_shortest_path(99)",
    ],
)
def test_what_comes_after_the_destination_is_never_carried_out_and_so_no_failure(sandbox, world, body):
    assert tried(sandbox, world, body) is None
    _, traces = world.drive(
        GivenDemonstrations({"vehicle_0": program(body)}).demonstrator(["vehicle_0"]), ["vehicle_0"]
    )
    assert traces["vehicle_0"].error is None
    assert [one.target for one in traces["vehicle_0"].instructions] == [15]


@pytest.mark.parametrize(
    "body",
    [
        "if get_shortest_time(5) < 60:\n    move_to_by_shortest_path(99)\nmove_to_by_shortest_time(15)",
        "move_to_by_shortest_path(5)\nif get_shortest_dist(15) > 0:\n    move_to_by_shortest_path(99)",
        "nodes = sorted(range(16), key=get_shortest_time)\nmove_to_by_shortest_path(nodes[99])",
    ],
)
def test_a_question_about_the_moment_ends_the_dry_run_unasked(sandbox, world, body):
    assert tried(sandbox, world, body) is None


def test_no_episode_runs_what_is_known_from_the_dry_run(world, monkeypatch):
    body = "move_to_by_shortest_path(get_nearest_node(300, 300))\nmove_to_by_shortest_time(get_destination())"
    given = GivenDemonstrations({"vehicle_0": program(body)}, limits=LIMITS)
    expected = world.drive(given.demonstrator(["vehicle_0"]), ["vehicle_0"])
    transcripts.forget_all()
    world.edges.clear()
    with Sandbox(LIMITS) as sandbox:
        assert dry_run(program(body), sandbox, NavigatorHost(world.navigator("vehicle_0"))) is None
    monkeypatch.setattr(Sandbox, "session", lambda *_, **__: pytest.fail("the program runs again"))
    paths, traces = world.drive(given.demonstrator(["vehicle_0"]), ["vehicle_0"])
    assert paths == expected[0]
    assert traces["vehicle_0"].instructions == expected[1]["vehicle_0"].instructions


def test_what_is_known_travels_with_the_demonstrations(world, monkeypatch):
    known = program("move_to_by_shortest_path(get_nearest_node(0, 100))\nmove_to_by_shortest_time(get_destination())")
    other = program("move_to_by_shortest_path(6)\nmove_to_by_shortest_time(get_destination())")
    with Sandbox(LIMITS) as sandbox:
        for each in (known, other):
            assert dry_run(each, sandbox, NavigatorHost(world.navigator("vehicle_0"))) is None
    given = GivenDemonstrations({"vehicle_0": known}, limits=LIMITS)
    pickled = pickle.dumps(given)
    # Another process, such as that of a remote env runner.
    transcripts.forget_all()
    arrived = pickle.loads(pickled)
    assert arrived == given
    assert set(transcripts.known_of([known, other])) == {(known, LIMITS, NavigatorHost)}
    monkeypatch.setattr(Sandbox, "session", lambda *_, **__: pytest.fail("the program runs again"))
    world.edges.clear()
    _, traces = world.drive(arrived.demonstrator(["vehicle_0"]), ["vehicle_0"])
    assert len(traces["vehicle_0"].instructions) == 2
    assert not traces["vehicle_0"].fell_back


def test_demonstrations_in_checkpoints_of_earlier_versions_can_be_read():
    given = GivenDemonstrations({"vehicle_0": program("move_to_by_shortest_path(5)")}, limits=LIMITS)
    # These held the fields alone.
    earlier = GivenDemonstrations.__new__(GivenDemonstrations)
    earlier.__setstate__(dict(given.__dict__))
    assert earlier == given
