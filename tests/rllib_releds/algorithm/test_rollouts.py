"""What the tasks of a run draw from."""

from itertools import product
from types import SimpleNamespace

import pytest

from rllib_releds.algorithm.rollouts import MAX_ATTEMPTS, ExpertTask, ImitationTask, SampleTask
from sumo_marl_env import Exit

TASKS = [SampleTask(0, 1, 2), ExpertTask(0, 1, 2, ("vehicle_0",), None), ImitationTask(0, 1, 2, None, 0.3)]


class Runner:
    """Its episodes are numbers; SUMO crashes in the first ones."""

    def __init__(self, crashes: int = 0) -> None:
        self.crashes = crashes
        self.drawn: list[int] = []

    def agent_rollout(self, rng, *_) -> SimpleNamespace:
        self.drawn.append(int(rng.integers(2**62)))
        exit = Exit.SIMULATOR_FAILED if len(self.drawn) <= self.crashes else Exit.ARRIVED
        episode = [SimpleNamespace(exit=Exit.ARRIVED), SimpleNamespace(exit=exit)]
        return SimpleNamespace(episode=episode, number=self.drawn[-1])

    expert_rollout = imitation_rollout = agent_rollout


def test_no_two_episodes_of_a_run_or_of_another_run_draw_the_same_and_each_draws_the_same_again():
    numbers = list(product((0, 1), (0, 1, 2), (0, 1, 2)))
    tasks = [SampleTask(*three) for three in numbers]
    tasks += [ExpertTask(*three, ("vehicle_0",), None) for three in numbers]
    tasks += [ImitationTask(*three, None, 0.3) for three in numbers]
    draws = [task.run(Runner()).number for task in tasks]
    assert len(set(draws)) == len(tasks)
    assert [task.run(Runner()).number for task in tasks] == draws


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_an_episode_in_which_sumo_crashes_is_played_again_as_if_nothing_had_been(task):
    runner = Runner(crashes=MAX_ATTEMPTS - 1)
    rollout = task.run(runner)
    assert {trip.exit for trip in rollout.episode} == {Exit.ARRIVED}
    assert runner.drawn == [rollout.number] * MAX_ATTEMPTS
    # Training does not end of a SUMO that always crashes.
    always = Runner(crashes=1000)
    assert Exit.SIMULATOR_FAILED in {trip.exit for trip in task.run(always).episode}
    assert len(always.drawn) == MAX_ATTEMPTS
