"""When cycles are asked for, rolled out and counted, without a simulation."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from street_grid import grid_network

from rllib_releds.algorithm.cycles import rollouts_in_use
from rllib_releds.algorithm.demonstrating import DemonstrationCycles
from rllib_releds.demonstrations.callbacks import StatelessCallback
from rllib_releds.demonstrations.demonstrators import GivenDemonstrations
from rllib_releds.demonstrations.errors import ModelUnavailableError
from rllib_releds.demonstrations.feedback import CycleFeedback, KeptVersion
from rllib_releds.demonstrations.records.store import DemonstrationStore
from sumo_marl_env import Instruction, Plan, Trip

LONG_S = 30.0
AGENTS = ("vehicle_0", "vehicle_1", "vehicle_2")


class SlowModel(StatelessCallback):
    """Answers when the test says so; `failure` and `raises` decide what with."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.gate = threading.Semaphore(0)
        self.contexts: list = []
        self.failure: str | None = None
        self.raises: Exception | None = None

    def answer(self, context):
        self.contexts.append(context)
        assert self.gate.acquire(timeout=LONG_S)
        if self.raises is not None:
            raise self.raises
        return GivenDemonstrations({}, metrics={"cycle": context.cycle})


@pytest.fixture
def model():
    model = SlowModel()
    yield model
    for _ in range(20):
        model.gate.release()


@pytest.fixture
def make_cycles(model):
    def make(callback=model, **settings) -> DemonstrationCycles:
        scenario = SimpleNamespace(
            network=grid_network(),
            trips=tuple(Trip(agent, 0, 1, 0, 0.0) for agent in AGENTS),
            name="made up",
            horizon_s=900.0,
        )
        scenario.agents = AGENTS
        defaults = {"interval": 3, "num_subsets": 1, "gamma": 0.9, "seed": 5, "asynchronous": True}
        return DemonstrationCycles(callback, scenario, **(defaults | settings))

    return make


@pytest.fixture
def run(make_rollout):
    """Run epochs of cycles; returns the epochs in which expert episodes were rolled out."""

    def run(cycles, *epochs) -> list[int]:
        rolled = []

        def roll(tasks):
            rolled.extend(task.epoch for task in tasks)
            return [make_rollout(expert=(0, 1, 2), seed=task.epoch) for task in tasks]

        for epoch in epochs:
            cycles.run(epoch, [make_rollout(seed=100 + epoch)], roll)
        return rolled

    return run


def asked(model, count: int) -> list:
    """The contexts of all requests, as soon as there are so many: each runs in a thread of its own."""
    deadline = time.monotonic() + LONG_S
    while len(model.contexts) < count and time.monotonic() < deadline:
        time.sleep(0.001)
    return model.contexts


def answer(cycles, model) -> None:
    model.gate.release()
    cycles.wait(LONG_S)


def test_training_goes_on_alone_until_the_first_answer_is_there(make_cycles, model, run):
    cycles = make_cycles()
    assert run(cycles, 0, 1) == []
    assert cycles.is_waiting
    assert cycles.last is None
    answer(cycles, model)
    assert run(cycles, 2) == [2]
    assert (cycles.last.context.epoch, cycles.last.feedback.epoch, cycles.num_cycles) == (0, 2, 1)
    assert not cycles.is_waiting
    assert run(cycles, 3) == []
    assert cycles.is_waiting


def test_feedback_tells_the_model_about_its_last_cycle_and_the_epoch_it_was_rolled_out_in(make_cycles, model, run):
    cycles = make_cycles()
    run(cycles, 0)
    answer(cycles, model)
    run(cycles, 1, 2, 3)
    answer(cycles, model)
    run(cycles, 4)
    assert [(context.cycle, context.epoch) for context in model.contexts] == [(0, 0), (1, 3)]
    assert model.contexts[0].feedback is None
    assert (model.contexts[1].feedback.cycle, model.contexts[1].feedback.epoch) == (0, 1)
    assert (cycles.last.feedback.cycle, cycles.last.feedback.epoch) == (1, 4)


def test_the_first_path_of_an_agent_is_that_of_its_first_demonstration_that_worked(make_cycles, model, make_rollout):
    cycles = make_cycles(asynchronous=False, interval=1, first_refinements=0)
    rollouts = {0: make_rollout(expert=(0, 1), failed=(0,)), 1: make_rollout(lengths=(3, 2, 3), expert=(0, 1))}
    paths = []
    for epoch, rollout in rollouts.items():
        model.gate.release()
        cycles.run(epoch, [make_rollout(seed=9)], lambda _, rollout=rollout: [rollout])
        paths.append(dict(cycles.first_paths))
    first, second = (rollout.episode for rollout in rollouts.values())
    assert paths[0] == {"vehicle_1": tuple(first["vehicle_1"].path())}
    assert paths[1] == {**paths[0], "vehicle_0": tuple(second["vehicle_0"].path())}


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_request_begins_without_what_an_earlier_run_left_of_its_cycle(
    make_cycles, model, run, tmp_path, asynchronous
):
    model.store = DemonstrationStore(tmp_path)
    stale = tmp_path / "cycle_000" / "reply.txt"
    stale.parent.mkdir()
    stale.touch()
    model.gate.release()
    run(make_cycles(asynchronous=asynchronous, first_refinements=0), 0)
    assert not stale.exists()


def test_a_slow_model_is_asked_again_as_soon_as_it_answered_and_no_epoch_waits(make_cycles, model, run):
    cycles = make_cycles()
    assert run(cycles, *range(8)) == []
    assert len(asked(model, 1)) == 1
    answer(cycles, model)
    assert run(cycles, 8) == [8]
    assert [context.epoch for context in asked(model, 2)] == [0, 8]
    answer(cycles, model)
    assert run(cycles, 9) == [9], "the next cycle is due at 9 again"
    assert [context.epoch for context in asked(model, 3)] == [0, 8, 9]


def test_a_request_that_brings_nothing_is_counted_with_its_reason_and_costs_no_expert_episode(
    make_cycles, model, run, make_rollout
):
    cycles = make_cycles()
    model.failure = "the server is down"
    run(cycles, 0)
    answer(cycles, model)
    assert run(cycles, 1, 2) == []
    assert [(failed.cycle, failed.epoch, failed.reason) for failed in cycles.failures] == [(0, 1, "the server is down")]
    assert (cycles.num_cycles, cycles.last) == (1, None)


@pytest.mark.parametrize("asynchronous", [True, False])
def test_an_error_of_the_callback_is_one_failed_cycle_and_one_warning(make_cycles, model, run, asynchronous, caplog):
    cycles = make_cycles(asynchronous=asynchronous)
    model.raises = ModelUnavailableError("the server is down")
    model.gate.release()
    with caplog.at_level(logging.WARNING):
        run(cycles, 0)
        cycles.wait(LONG_S)
        run(cycles, 1, 2)
    assert [failed.reason for failed in cycles.failures] == ["the server is down"]
    (record,) = caplog.records
    assert "cycle 0" in record.message


def test_a_programming_error_in_the_thread_stops_training(make_cycles, model, run):
    cycles = make_cycles()
    model.raises = ZeroDivisionError("broken")
    run(cycles, 0)
    answer(cycles, model)
    with pytest.raises(ZeroDivisionError, match="broken"):
        run(cycles, 1)


def test_a_run_restored_in_the_middle_of_a_request_asks_it_again(make_cycles, model, run):
    cycles = make_cycles()
    run(cycles, 0)
    answer(cycles, model)
    run(cycles, 1, 2, 3)
    state = pickle.loads(pickle.dumps(cycles.get_state()))
    assert cycles.is_waiting
    answer(cycles, model)
    run(cycles, 4)
    before = cycles.get_state()

    restored = make_cycles()
    restored.set_state(state)
    assert not restored.is_waiting, "a run that is only evaluated asks nobody"
    assert restored.get_state()["asked"]["cycle"] == 1
    run(restored, 4)
    answer(restored, model)
    assert run(restored, 5) == [5]
    assert (model.contexts[-1].cycle, model.contexts[-1].epoch, model.contexts[-1].feedback.cycle) == (1, 3, 0)
    after = restored.get_state()
    assert (after["num_cycles"], after["due_epoch"]) == (before["num_cycles"], before["due_epoch"]) == (2, 6)


def test_going_back_while_a_request_runs_drops_its_answer(make_cycles, model, run):
    cycles = make_cycles()
    untrained = cycles.get_state()
    run(cycles, 0)
    cycles.set_state(untrained)
    answer(cycles, model)
    assert run(cycles, 0) == []
    assert cycles.num_cycles == 0
    answer(cycles, model)
    assert run(cycles, 1) == [1]
    assert len(model.contexts) == 2


def test_one_at_a_time_every_cycle_is_rolled_out_in_the_epoch_that_asks(make_cycles, model, run):
    cycles = make_cycles(asynchronous=False)
    for _ in range(3):
        model.gate.release()
    assert run(cycles, *range(8)) == [0, 3, 6]
    assert [context.epoch for context in model.contexts] == [0, 3, 6]
    assert not cycles.is_waiting


class RefiningModel(StatelessCallback):
    """Answers at once, and with feedback better each time."""

    refine = True

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.contexts: list = []

    def answer(self, context):
        self.contexts.append(context)
        return GivenDemonstrations({}, metrics={"cycle": context.cycle})


def refined(make_cycles, run, callback, *epochs):
    cycles = make_cycles(callback, asynchronous=False, num_subsets=2, first_refinements=2)
    return cycles, run(cycles, *epochs)


def test_the_first_demonstrations_are_refined_before_the_first_epoch_is_over(make_cycles, run):
    model = RefiningModel()
    cycles, rolled = refined(make_cycles, run, model, *range(4))
    # Two subsets each time; in the refinements everybody demonstrates at once.
    assert rolled == [0, 0, 0, 0, 3, 3]
    assert [(context.cycle, context.epoch) for context in model.contexts] == [(0, 0), (1, 0), (2, 0), (3, 3)]
    assert [context.feedback and context.feedback.cycle for context in model.contexts] == [None, 0, 1, 2]
    assert cycles.num_cycles == 4


def test_every_refinement_drives_in_traffic_of_its_own(make_cycles, make_rollout):
    cycles, _ = refined(make_cycles, lambda *_: None, RefiningModel())
    tasks = []

    def roll(given):
        tasks.extend(given)
        return [make_rollout(expert=(0, 1, 2)) for _ in given]

    cycles.run(0, [make_rollout()], roll)
    assert [len(task.agents) for task in tasks] == [2, 1, 3, 3]
    assert len({task.subset for task in tasks}) == len(tasks)


def test_every_cycle_draws_its_partition_anew(make_cycles, make_rollout):
    cycles = make_cycles(RefiningModel(), asynchronous=False, interval=1, num_subsets=2)
    partitions = []

    def roll(tasks):
        partitions.append(frozenset(frozenset(task.agents) for task in tasks))
        return [make_rollout(expert=(0, 1, 2)) for _ in tasks]

    for epoch in range(12):
        cycles.run(epoch, [make_rollout()], roll)
    assert all(sorted(agent for subset in one for agent in subset) == list(AGENTS) for one in partitions)
    assert len(set(partitions)) == 3, "one of three agents is alone, and each is at times"


def test_the_bound_of_theorem_1_discounts_as_training_does(make_cycles, make_rollout):
    own, expert = make_rollout(), make_rollout(expert=(0,))
    own = replace(own, episode=replace(own.episode, rewards=np.ones_like(own.episode.rewards)))
    expert = replace(expert, expert=replace(expert.expert, logps={"vehicle_0": np.full(5, -1.0)}))
    cycles = make_cycles(RefiningModel(), asynchronous=False, gamma=0.5)
    cycles.run(0, [own], lambda tasks: [expert])
    # Two others earn 1 each, and the least likely action has a probability of 1 / e.
    assert cycles.last.feedback.subsets[0].nonstationarity_bound == pytest.approx(np.sqrt(2.0) / 0.5**2 * 2.0)


def test_demonstrations_that_cannot_be_refined_are_asked_for_once(make_cycles, run):
    model = StatelessCallback(lambda context: GivenDemonstrations({}))
    assert refined(make_cycles, run, model, 0)[1] == [0, 0]


def test_a_model_that_fails_is_not_asked_for_refinements(make_cycles, run):
    model = RefiningModel()
    model.failure = "the server is down"
    cycles, _ = refined(make_cycles, run, model, 0)
    assert (len(model.contexts), len(cycles.failures)) == (1, 1)


def test_demonstrations_that_come_late_are_refined_before_they_are_imitated_too(make_cycles, run):
    model = RefiningModel()
    model.failure = "the server is down"
    cycles, _ = refined(make_cycles, run, model, 0)
    model.failure = None
    assert run(cycles, 3, 6) == [3, 3, 3, 3, 6, 6]
    assert (cycles.num_cycles, len(cycles.failures)) == (5, 1)


def test_refinements_end_with_the_first_that_brings_nothing(make_cycles, run):
    class FailsOnce(RefiningModel):
        def answer(self, context):
            self.failure = "no quota" if context.cycle == 1 else None
            return super().answer(context)

    cycles, rolled = refined(make_cycles, run, FailsOnce(), 0, 3)
    assert [failure.cycle for failure in cycles.failures] == [1]
    assert rolled == [0, 0, 0, 3, 3], "a refinement has one expert episode, a cycle one of each subset"


def kept(is_latest: bool) -> KeptVersion:
    return KeptVersion(0, is_latest, 1, 500.0, 400.0, (), ())


def in_use(rollouts) -> dict[str, int]:
    """Seed of the episode that each agent is trained on."""
    return {agent: rollout.episode.seed for rollout in rollouts for agent in rollout.expert.agents}


def test_an_agent_whose_revision_was_worse_is_trained_on_its_episode_of_before(make_rollout):
    before = rollouts_in_use([], [make_rollout(expert=(0, 1, 2), seed=1)], CycleFeedback(0, 0, (), ()))
    feedback = CycleFeedback(1, 1, (), (), (), {"vehicle_0": kept(True), "vehicle_1": kept(False)})
    fresh = [make_rollout(expert=(0, 2), seed=2), make_rollout(expert=(1,), seed=3)]
    after = rollouts_in_use(before, fresh, feedback)
    assert in_use(after) == {"vehicle_0": 2, "vehicle_1": 1, "vehicle_2": 2}
    assert [agent for rollout in after for _, trip in rollout.training_rows() for agent in [trip.agent]] == [
        "vehicle_1", "vehicle_0", "vehicle_2",
    ]  # fmt: skip


def test_an_agent_without_an_episode_of_before_is_trained_on_the_new_one(make_rollout):
    feedback = CycleFeedback(0, 0, (), (), (), {"vehicle_0": kept(False)})
    assert in_use(rollouts_in_use([], [make_rollout(expert=(0, 1), seed=2)], feedback)) == {
        "vehicle_0": 2, "vehicle_1": 2,
    }  # fmt: skip


def test_a_worse_revision_is_not_trained_on_and_feedback_says_who_got_no_answer(make_cycles, make_rollout):
    def demonstrate(context):
        plan = Plan("vehicle_0", (Instruction("move_to_by_shortest_path", context.cycle),))
        return GivenDemonstrations({"vehicle_0": plan}, unanswered={"vehicle_1": "cut off"})

    def roll(tasks):
        earned = 100.0 if tasks[0].epoch == 0 else -100.0
        rollout = make_rollout(expert=(0, 1, 2), seed=tasks[0].epoch)
        trips = tuple(replace(trip, rewards=np.full_like(trip.rewards, earned)) for trip in rollout.episode)
        episode = replace(rollout.episode, trajectories=trips)
        return [replace(rollout, episode=episode, expert=replace(rollout.expert, episode=episode))]

    cycles = make_cycles(StatelessCallback(demonstrate), asynchronous=False)
    for epoch in (0, 3):
        cycles.run(epoch, [make_rollout()], roll)
    assert in_use(cycles.last.in_use) == {"vehicle_0": 0, "vehicle_1": 3, "vehicle_2": 3}
    assert {one.agent: one.unanswered for one in cycles.last.feedback.outcomes} == {
        "vehicle_0": None, "vehicle_1": "cut off", "vehicle_2": None,
    }  # fmt: skip
