"""What QMIX learns from: segments of episodes, and what their steps are worth."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from two_step_game import TABLES, play

from rllib_releds.algorithm.encoder import RoutingEncoder
from rllib_releds.algorithm.networks import StackedNetwork
from rllib_releds.algorithm.rollouts import JointSteps
from rllib_releds.baselines.qmix import QMIXConfig
from rllib_releds.baselines.qmix_learner import joint_episode, team_targets
from rllib_releds.baselines.qmix_module import EpsilonGreedyPolicies
from rllib_releds.baselines.replay_buffer import JointEpisode, ReplayBuffer

NUM_AGENTS = 2


def episode(first: float, steps: int, *, is_cut_off: bool = False) -> JointEpisode:
    """Step t begins in the state `first` + t, and earns as much."""
    numbers = first + np.arange(steps + 1, dtype=np.float32)
    each = np.broadcast_to(numbers[:, None], (steps + 1, NUM_AGENTS))
    is_live = np.ones((steps + 1, NUM_AGENTS), bool)
    is_live[-1] = [is_cut_off, False]
    joint = JointSteps(
        states=numbers[:, None],
        observations=each[..., None],
        action_masks=np.full((steps + 1, NUM_AGENTS, 3), [0, 1, 0], np.int8),
        is_live=is_live,
        actions=each[:-1].astype(np.int64),
    )
    return JointEpisode(joint, numbers[:-1])


def segments_of(*episodes: JointEpisode, length: int, num_segments: int = 200):
    replay = ReplayBuffer(1000)
    for one in episodes:
        replay.add(one)
    return replay.sample(num_segments, length, np.random.default_rng(0))


def test_segments_begin_anywhere_and_end_with_their_episode():
    segments = segments_of(episode(10.0, 3), episode(20.0, 5), length=4)
    assert set(segments.states[:, 0, 0].tolist()) == {10.0, 11.0, 12.0, 20.0, 21.0, 22.0, 23.0, 24.0}
    for row in range(len(segments.rewards)):
        begin = segments.states[row, 0, 0]
        steps = int(min(4.0, (13.0 if begin < 20.0 else 25.0) - begin))
        expected = begin + np.arange(steps + 1)
        for seen in (segments.states[row, ..., 0], segments.observations[row, :, 1, 0]):
            np.testing.assert_array_equal(seen[: steps + 1], expected)
        np.testing.assert_array_equal(segments.rewards[row, :steps], expected[:-1])
        np.testing.assert_array_equal(segments.actions[row, :steps, 0], expected[:-1])
        np.testing.assert_array_equal(segments.is_step[row], np.arange(4) < steps)
        np.testing.assert_array_equal(segments.is_last[row], np.arange(4) == steps - 1)
        assert segments.action_masks[row, : steps + 1, :, 0].max() == 0
        assert segments.action_masks[row, steps + 1 :].all()


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_what_follows_counts_unless_nobody_is_under_way_any_more(is_cut_off):
    segments = segments_of(episode(0.0, 5, is_cut_off=is_cut_off), length=3)
    is_end = (segments.rewards == 4.0) & (segments.is_step == 1)
    assert is_end.any()
    np.testing.assert_array_equal(segments.continues == 0, is_end & (not is_cut_off))


def test_the_oldest_episodes_go_first_and_the_newest_always_stays():
    replay = ReplayBuffer(8)
    for first, steps in ((0.0, 3), (10.0, 4), (20.0, 4)):
        replay.add(episode(first, steps))
    assert [one.rewards[0] for one in replay.episodes] == [10.0, 20.0]
    assert len(replay) == 8
    replay.add(episode(30.0, 50))
    assert [one.rewards[0] for one in replay.episodes] == [30.0]


def test_the_teams_reward_is_the_scaled_mean_over_its_agents():
    rollout, paid = play(lambda _, masks: np.ones(len(masks), np.int64))
    assert joint_episode(rollout, 0.5).rewards.tolist() == [0.0, 0.5 * paid]
    uneven = SimpleNamespace(joint=rollout.joint, episode=SimpleNamespace(rewards=np.array([[1.0, 5.0], [0.0, -2.0]])))
    assert joint_episode(uneven, 0.5).rewards.tolist() == [1.5, -0.5]


DISCOUNT, LAMBDA = 0.9, 0.6


def test_targets_are_lambda_returns_that_end_with_their_segment():
    """Three steps before a cut and padding, and two that end with nobody under way; the values are the states."""
    module = SimpleNamespace(
        agent_action_values=lambda observations, masks, *, of_target: observations.repeat_interleave(2, -1) * masks,
        team_value=lambda states, chosen, is_live, *, of_target: states[..., 0] + (chosen * is_live).sum(-1),
    )
    states = torch.tensor([[0.0, 1.0, 2.0, 3.0, 50.0], [0.0, 5.0, 6.0, 70.0, 80.0]])
    batch = {
        "states": states.unsqueeze(-1),
        "observations": 10.0 * states[:, :, None, None].expand(2, 5, 2, 1),
        "action_masks": torch.tensor([1.0, 2.0]).expand(2, 5, 2, 2),
        # The second one leaves in the first step.
        "is_live": torch.tensor([[1.0, 1.0], *[[1.0, 0.0]] * 4]).expand(2, 5, 2),
        "rewards": torch.tensor([[1.0, 2.0, 4.0, 99.0], [1.0, 2.0, 99.0, 99.0]]),
        "continues": torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 1.0]]),
        "is_last": torch.tensor([[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]]),
    }
    # The first agent's actions are worth 10 and 20 times the state; it takes the second, but for the first time.
    next_actions = torch.tensor([[0, 0], *[[1, 0]] * 3]).expand(2, 4, 2)
    targets = team_targets(module, batch, next_actions, discount=DISCOUNT, lambda_=LAMBDA)
    third = 4.0 + DISCOUNT * 63.0
    second = 2.0 + DISCOUNT * ((1.0 - LAMBDA) * 42.0 + LAMBDA * third)
    first = 1.0 + DISCOUNT * ((1.0 - LAMBDA) * 11.0 + LAMBDA * second)
    assert targets[0, :3].tolist() == pytest.approx([first, second, third], rel=1e-5)
    other = 1.0 + DISCOUNT * ((1.0 - LAMBDA) * 55.0 + LAMBDA * 2.0)
    assert targets[1, :2].tolist() == pytest.approx([other, 2.0], rel=1e-5)


def test_exploration_falls_from_1_over_its_share_of_the_epochs():
    config = QMIXConfig().training(num_training_epochs=100, exploration_share=0.2, final_epsilon=0.1)
    shares = [config.epsilon_at(epoch) for epoch in (0, 5, 10, 20, 99)]
    assert shares == pytest.approx([1.0, 0.775, 0.55, 0.1, 0.1])


def test_a_steps_discount_is_that_of_a_decision_shared_among_the_team():
    class OfFour(QMIXConfig):
        scenario = SimpleNamespace(trips=range(4))

    assert OfFour().training(gamma=0.9).team_discount ** 4 == pytest.approx(0.9)


def test_random_actions_are_drawn_among_the_valid_ones_alone():
    encoder = RoutingEncoder("one_hot", TABLES)
    network = StackedNetwork(
        num_agents=2,
        num_features=encoder.num_features,
        num_junctions=encoder.num_junctions,
        num_outputs=2,
        hidden_size=4,
        head_gain=1.0,
        generator=torch.Generator().manual_seed(0),
    )
    epsilon = torch.tensor(0.2)
    policies = EpsilonGreedyPolicies(encoder, network, epsilon)
    seen = np.array([[0, 0, 1.0, 1, 1.0, 2]] * 3, np.float32)
    masks = np.array([[1, 1], [1, 0], [0, 1]], np.int8)
    free, *forced = policies.probabilities(np.zeros(3, np.int64), seen, masks)
    assert sorted(free) == pytest.approx([0.1, 0.9])
    np.testing.assert_allclose(forced, [[1.0, 0.0], [0.0, 1.0]])
