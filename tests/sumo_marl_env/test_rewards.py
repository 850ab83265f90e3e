from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from helpers import live_shortest_time, run_episode

from sumo_marl_env import REWARDS, ConfigError, PaperReward


class ArrivalOnly:
    """What a user may write."""

    def __init__(self, scenario):
        self.bonus = scenario.horizon_s

    def __call__(self, elapsed_s, approach_m, arrived):
        return self.bonus * arrived


def returns(env):
    return run_episode(env, 0, live_shortest_time).rewards.sum(axis=0)


def test_return_by_travel_time_is_minus_the_travel_time(make_env):
    trips = make_env().scenario.trips
    late = tuple(replace(trip, depart_s=40.0 * k) for k, trip in enumerate(trips))
    env = make_env(trips=late, reward="travel_time")
    total = returns(env)
    assert total == pytest.approx([-trajectory.travel_time_s for trajectory in env.episode()], abs=1e-2)


def test_the_papers_reward_is_equation_32(make_env):
    step = np.array([3.0, 0.0, 5.0]), np.array([10.0, 0.0, -4.0]), np.array([False, False, True])
    scenario = make_env().scenario
    assert PaperReward(scenario)(*step).tolist() == [-3.0 + 10.0, 0.0, -5.0 - 4.0 + 0.1 * 900.0]
    weighted = PaperReward(scenario, distance_weight=2.0, arrival_share=0.5)
    assert weighted(*step).tolist() == [-3.0 + 20.0, 0.0, -5.0 - 8.0 + 0.5 * 900.0]


def test_reward_is_chosen_by_name_class_or_instance(make_env, monkeypatch):
    def of(reward):
        env = make_env(reward=reward)
        total = returns(env)
        env.close()
        return total

    plain = of("paper")
    scenario = make_env().scenario
    assert np.array_equal(of(PaperReward), plain)
    assert np.array_equal(of(PaperReward(scenario)), plain)
    assert of(partial(PaperReward, arrival_share=0.0)) == pytest.approx(plain - 0.1 * 900.0, abs=1e-3)
    monkeypatch.setitem(REWARDS, "arrival", ArrivalOnly)
    assert of("arrival").tolist() == of(ArrivalOnly).tolist() == [900.0] * 3


def test_agents_that_have_left_earn_nothing_though_their_reward_be_no_number(make_env):
    env = make_env(reward=lambda elapsed_s, approach_m, arrived: np.where(elapsed_s > 0.0, approach_m, np.nan))
    total = returns(env)
    to_go_m = [env.network.distance_m(trip.origin, trip.destination) for trip in env.scenario.trips]
    assert total == pytest.approx(to_go_m, abs=1e-2)


class TeamDelay:
    """Every agent loses what all of them spend."""

    def __init__(self, scenario):
        self.num_agents = len(scenario.trips)

    def __call__(self, elapsed_s, approach_m, arrived):
        return np.full(self.num_agents, -elapsed_s.sum())


def test_a_reward_gets_no_time_of_agents_that_have_left(make_env):
    env = make_env(reward=TeamDelay)
    last = run_episode(env, 0, live_shortest_time).rewards
    total_s = sum(trajectory.travel_time_s for trajectory in env.episode())
    assert last.min(axis=1).sum() == pytest.approx(-total_s, abs=1e-2)


def test_a_reward_of_another_shape_is_refused(make_env):
    env = make_env(reward=lambda elapsed_s, approach_m, arrived: -elapsed_s[:, None])
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=r"returned shape \(3, 1\).* must be \(3,\) real numbers"):
        env.step({agent: int(env.action_mask(agent).argmax()) for agent in env.deciders})


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ([np.nan, 0.0, 0.0], "not finite"),
        ([0.0, -np.inf, 0.0], "not finite"),
        ([1j, 0.0, 0.0], "complex128.* real numbers"),
        ([None, None, None], "object.* real numbers"),
        (["1", "2", "3"], "real numbers"),
        ([[1.0], [1.0, 2.0], 3.0], "makes no array .*inhomogeneous.* real numbers"),
    ],
)
def test_what_a_reward_returns_must_be_numbers(make_env, returned, words):
    env = make_env(reward=lambda elapsed_s, approach_m, arrived: returned)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=words):
        env.step({agent: int(env.action_mask(agent).argmax()) for agent in env.deciders})


@pytest.mark.parametrize("what", ["reward", "observation"])
def test_a_class_that_takes_no_scenario_is_told_so(make_env, what):
    class Lonely:
        def __init__(self):
            pass

    with pytest.raises(ConfigError, match=f"{what} .*Lonely.* is called with the scenario alone"):
        make_env(**{what: Lonely})


def test_what_is_no_reward_is_refused(make_env):
    with pytest.raises(ConfigError, match="must be callable"):
        make_env(reward=3.0)
