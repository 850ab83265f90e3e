"""What the tasks of a run draw from."""

from itertools import product
from types import SimpleNamespace

from rllib_releds.algorithm.rollouts import ExpertTask, ImitationTask, SampleTask

RUNNER = SimpleNamespace(
    agent_rollout=lambda rng: rng.integers(2**62),
    expert_rollout=lambda rng, *_: rng.integers(2**62),
    imitation_rollout=lambda rng, *_: rng.integers(2**62),
)


def test_no_two_episodes_of_a_run_or_of_another_run_draw_the_same_and_each_draws_the_same_again():
    numbers = list(product((0, 1), (0, 1, 2), (0, 1, 2)))
    tasks = [SampleTask(*three) for three in numbers]
    tasks += [ExpertTask(*three, ("vehicle_0",), None) for three in numbers]
    tasks += [ImitationTask(*three, None, 0.3) for three in numbers]
    draws = [task.run(RUNNER) for task in tasks]
    assert len(set(draws)) == len(tasks)
    assert [task.run(RUNNER) for task in tasks] == draws
