import numpy as np
import pytest

from sumo_marl_env import Exit, ScenarioError
from sumo_marl_env.yardsticks import QUICK_YARDSTICKS, YARDSTICKS, run_yardstick, summary, yardstick_names

KEYS = {
    "episodes",
    "mean_reward",
    "mean_travel_time_s",
    "arrival_rate",
    "lost",
    "teleported",
    "stuck",
    "simulator_failed",
}


@pytest.mark.parametrize("name", QUICK_YARDSTICKS)
def test_gives_one_complete_episode_per_seed(make_env, name):
    env = make_env()
    episodes = run_yardstick(env, name, [4, 7])
    assert [episode.seed for episode in episodes] == [4, 7]
    assert not env.agents
    assert all(trajectory.exit in (Exit.ARRIVED, Exit.HORIZON) for episode in episodes for trajectory in episode)


@pytest.mark.parametrize("name", ["free_flow", "live", "rerouting"])
def test_drivers_with_a_map_arrive(make_env, name):
    assert summary(run_yardstick(make_env(), name, [0]))["arrival_rate"] == 1.0


def test_free_flow_beats_random(make_env):
    env = make_env()
    random, free_flow = (summary(run_yardstick(env, name, range(2))) for name in ("random", "free_flow"))
    assert free_flow["mean_travel_time_s"] < random["mean_travel_time_s"]
    assert free_flow["mean_reward"] > random["mean_reward"]


def test_same_seed_gives_the_same_random_drive(make_env):
    env = make_env(demand="moderate", horizon_s=300.0)
    first, second = run_yardstick(env, "random", [3, 3])
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.actions, other.actions)


def test_progress_hears_of_every_episode(make_env):
    heard = []
    episodes = run_yardstick(make_env(), "free_flow", [1, 2], lambda done, episode: heard.append((done, episode)))
    assert heard == [(1, episodes[0]), (2, episodes[1])]


def test_any_object_that_drives_is_a_policy(make_env):
    class FirstValid:
        def begin(self, env, seed):
            self.seed = seed

        def act(self, env, agent):
            return int(np.flatnonzero(env.action_mask(agent))[0])

    driver = FirstValid()
    run_yardstick(make_env(horizon_s=120.0), driver, [9])
    assert driver.seed == 9


def test_unknown_yardstick_is_named_with_the_known_ones(make_env):
    with pytest.raises(ScenarioError, match=r"'fastest'.*random, free_flow, live"):
        run_yardstick(make_env(), "fastest", [0])


def test_summary_has_the_keys_of_every_evaluation(make_env):
    episodes = run_yardstick(make_env(), "free_flow", [0, 1])
    figures = summary(episodes)
    assert set(figures) == KEYS
    assert figures["episodes"] == 2
    assert figures["mean_reward"] == pytest.approx(np.mean([t.total_reward for e in episodes for t in e]))


def test_summary_of_nothing_is_an_error():
    with pytest.raises(ScenarioError, match="no episodes"):
        summary([])


def test_yardsticks_are_chosen_by_their_names():
    assert yardstick_names("live, random") == ("live", "random")
    assert yardstick_names("all") == tuple(YARDSTICKS)
    assert yardstick_names("none") == ()
    with pytest.raises(ScenarioError, match="unknown yardstick 'lvie'; choose random, free_flow"):
        yardstick_names("random, lvie")
