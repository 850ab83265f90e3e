"""Lambda returns of segments from the replay, against their definition as a weighted mean of n-step returns."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from rllib_releds.algorithm.joint import JointSteps
from rllib_releds.baselines.qmix_learner import team_targets
from rllib_releds.baselines.replay_buffer import JointEpisode, ReplayBuffer, Segments

NUM_AGENTS, SLOTS, LENGTH = 3, 4, 6
DISCOUNT = 0.97
TAKEN = 1


class Values:
    """Target copies: an agent sees the values of its slots, and the first entry of the state is added to the sum."""

    def agent_action_values(self, observations, action_masks, *, of_target):
        assert of_target
        return torch.where(action_masks > 0, observations, -1e9)

    def team_value(self, states, chosen, is_live, *, of_target):
        assert of_target
        return states[..., 0] + (chosen * is_live).sum(-1)


def episode(steps: int, rng: np.random.Generator, *, is_terminated: bool) -> JointEpisode:
    """Agent 0 leaves half-way; in the end the others arrive, or are cut off."""
    is_live = np.ones((steps + 1, NUM_AGENTS), bool)
    is_live[steps // 2 :, 0] = False
    if is_terminated:
        is_live[-1] = False
    masks = rng.integers(0, 2, (steps + 1, NUM_AGENTS, SLOTS)).astype(np.int8)
    masks[..., TAKEN] = 1
    joint = JointSteps(
        states=rng.normal(size=(steps + 1, 2)).astype(np.float32),
        observations=rng.normal(size=(steps + 1, NUM_AGENTS, SLOTS)).astype(np.float32),
        action_masks=masks,
        is_live=is_live,
        actions=np.full((steps, NUM_AGENTS), TAKEN),
    )
    return JointEpisode(joint, rng.normal(size=steps).astype(np.float32))


def following_values(one: JointEpisode) -> np.ndarray:
    """(T,) of what follows each step, by what the agents that are under way would take."""
    joint = one.joint
    values = (joint.states[:, 0] + (joint.observations[..., TAKEN] * joint.is_live).sum(-1))[1:]
    return np.append(values[:-1], 0.0) if one.is_terminated else values


def weighted_mean(one: JointEpisode, step: int, end: int, lambda_: float) -> float:
    """Of the returns that look 1, 2, ... steps ahead, and not beyond the segment's end."""
    values, far = following_values(one), end - step
    returns = [
        sum(DISCOUNT**ahead * one.rewards[step + ahead] for ahead in range(n)) + DISCOUNT**n * values[step + n - 1]
        for n in range(1, far + 1)
    ]
    weights = [(1.0 - lambda_) * lambda_ ** (n - 1) for n in range(1, far)] + [lambda_ ** (far - 1)]
    return float(np.dot(weights, returns))


@pytest.mark.parametrize("lambda_", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("is_terminated", [True, False], ids=["arrived", "cut off"])
@pytest.mark.parametrize("steps", [LENGTH - 2, 2 * LENGTH])
def test_targets_are_lambda_returns_of_their_segment(steps, is_terminated, lambda_):
    rng = np.random.default_rng(0)
    one = episode(steps, rng, is_terminated=is_terminated)
    replay = ReplayBuffer(100)
    replay.add(one)
    segments = replay.sample(32, LENGTH, rng)
    batch = {field.name: torch.from_numpy(getattr(segments, field.name)) for field in fields(Segments)}
    # The trained networks choose, the target copies value what they chose, be it their own best or not.
    next_actions = torch.full((32, LENGTH, NUM_AGENTS), TAKEN)
    targets = team_targets(Values(), batch, next_actions, discount=DISCOUNT, lambda_=lambda_)
    for row in range(32):
        (start,) = np.flatnonzero(one.joint.states[:, 0] == segments.states[row, 0, 0])
        end = start + int(segments.is_step[row].sum())
        assert end == min(start + LENGTH, steps)
        expected = [weighted_mean(one, step, end, lambda_) for step in range(start, end)]
        np.testing.assert_allclose(targets[row, : end - start], expected, rtol=1e-4, atol=1e-4)
