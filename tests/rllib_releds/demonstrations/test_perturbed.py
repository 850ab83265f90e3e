import numpy as np
import pytest

from rllib_releds.demonstrations.demonstrators import live_demonstrations
from rllib_releds.demonstrations.episodes import play_episode
from rllib_releds.demonstrations.perturbed import PerturbedDemonstrator
from sumo_marl_env import parallel_env


@pytest.fixture
def env(grid_file):
    env = parallel_env(network=str(grid_file), demand="none", num_agents=4, horizon_s=600.0)
    yield env
    env.close()


@pytest.fixture
def play(env):
    def play(noise: float):
        live = live_demonstrations(env.scenario.trips).demonstrator(env.possible_agents)
        demonstrator = PerturbedDemonstrator(live, env.action_mask, noise, np.random.default_rng(3))
        episode = play_episode(env, 7, dict.fromkeys(env.possible_agents, demonstrator))
        demonstrator.finish()
        return episode, [demonstrator.as_meant(trajectory) for trajectory in episode]

    return play


def test_without_noise_what_was_meant_was_done(play):
    episode, meant = play(0.0)
    for done, wanted in zip(episode, meant, strict=True):
        np.testing.assert_array_equal(done.chosen_actions, wanted.actions)


def test_about_the_share_of_noise_is_disturbed_and_the_expert_still_arrives(play):
    episode, meant = play(0.4)
    pairs = [(d.chosen_actions, m.actions, d.action_masks) for d, m in zip(episode, meant, strict=True)]
    # Where there is a choice of s slots, a draw differs from what was meant with probability (s - 1) / s.
    expected = sum(0.4 * (1.0 - 1.0 / masks.sum(axis=1)).sum() for _, _, masks in pairs)
    disturbed = sum(int((done != wanted).sum()) for done, wanted, _ in pairs)
    assert 0.4 * expected < disturbed < 1.8 * expected
    assert episode.arrival_rate == 1.0


def test_every_disturbed_decision_is_followed_by_a_valid_one_that_was_meant(play):
    _, meant = play(1.0)
    for trajectory in meant:
        assert trajectory.action_masks[np.arange(len(trajectory.actions)), trajectory.actions].all()
