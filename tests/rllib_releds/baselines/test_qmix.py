"""QMIX's exploration, discount and rewards."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from two_step_game import TABLES, play

from rllib_releds.algorithm.encoder import RoutingEncoder
from rllib_releds.algorithm.networks import StackedNetwork
from rllib_releds.baselines.qmix import QMIXConfig
from rllib_releds.baselines.qmix_learner import joint_episode
from rllib_releds.baselines.qmix_module import EpsilonGreedyPolicies


def test_the_teams_reward_is_the_scaled_mean_over_its_agents():
    rollout, paid = play(lambda _, masks: np.ones(len(masks), np.int64))
    assert joint_episode(rollout, 0.5).rewards.tolist() == [0.0, 0.5 * paid]
    uneven = SimpleNamespace(joint=rollout.joint, episode=SimpleNamespace(rewards=np.array([[1.0, 5.0], [0.0, -2.0]])))
    assert joint_episode(uneven, 0.5).rewards.tolist() == [1.5, -0.5]


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
