import warnings

import numpy as np
import pytest
from helpers import live_shortest_time
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test
from pettingzoo.utils.conversions import parallel_to_aec

from sumo_marl_env import FixedTeam, RoutingError, numeric_infos, to_fixed_team


def drive(team: FixedTeam, seed: int = 0):
    """What each step of an episode returned; agents that have left get an action too."""
    team.reset(seed=seed)
    while team.agents:
        actions = dict.fromkeys(team.possible_agents, 0)
        yield team.step(actions | {a: live_shortest_time(team.env, a) for a in team.deciders})


def test_fixed_team_passes_the_parallel_tests_with_warnings_as_errors(make_env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(to_fixed_team(make_env()), num_cycles=200)
        parallel_api_test(to_fixed_team(make_env(), flatten=True), num_cycles=200)
        api_test(parallel_to_aec(to_fixed_team(make_env(), flatten=True)), num_cycles=20)
    parallel_seed_test(lambda: to_fixed_team(make_env(demand="moderate", horizon_s=200.0)))


def test_everybody_stays_until_the_last_agent_leaves(make_env):
    team = to_fixed_team(make_env())
    everybody = set(team.possible_agents)
    steps = list(drive(team))
    assert all(set(part) == everybody for step in steps for part in step)
    assert not any(any(step[2].values()) or any(step[3].values()) for step in steps[:-1])
    assert all(steps[-1][2].values())
    assert not team.agents


def test_terminated_are_those_that_arrived_and_truncated_the_others(make_env):
    first = make_env()
    list(drive(to_fixed_team(first)))
    arrival_s = min(trajectory.travel_time_s for trajectory in first.episode())
    *_, (_, _, terminations, truncations, infos) = drive(to_fixed_team(make_env(horizon_s=arrival_s + 5.0)))
    assert set(terminations.values()) == {True, False}
    for agent, info in infos.items():
        assert terminations[agent] == (info["exit"] == "arrived")
        assert truncations[agent] != terminations[agent]


def test_agents_that_left_earn_nothing_and_see_what_they_saw_last(make_env):
    team = to_fixed_team(make_env())
    last, sums = {}, dict.fromkeys(team.possible_agents, 0.0)
    for observations, rewards, _, _, infos in drive(team):
        for agent in team.possible_agents:
            sums[agent] += rewards[agent]
            if infos[agent]["has_left"]:
                assert rewards[agent] == 0.0
                assert infos[agent]["exit"] == "arrived"
                assert np.array_equal(observations[agent]["observation"], last[agent])
                assert observations[agent]["action_mask"].sum() == 1
            last[agent] = observations[agent]["observation"]
            assert team.observation_space(agent).contains(observations[agent])
    for trajectory in team.env.episode():
        assert sums[trajectory.agent] == pytest.approx(trajectory.total_reward, abs=1e-2)


@pytest.mark.parametrize("flatten", [True, False])
def test_what_a_caller_does_to_an_observation_of_an_agent_that_has_left_does_not_come_back(make_env, flatten):
    team = to_fixed_team(make_env(), flatten=flatten)
    last = {}
    for observations, _, _, _, infos in drive(team):
        for agent, seen in observations.items():
            vector = seen if flatten else seen["observation"]
            if infos[agent]["has_left"]:
                assert np.array_equal(vector, last[agent])
                assert infos[agent]["exit"] == "arrived"
                assert infos[agent]["action_mask"].max() == 1
            last[agent] = vector.copy()
            vector[:] = 0.0
            infos[agent]["exit"] = "spoilt"
            infos[agent]["action_mask"][:] = 9


def test_fixed_team_refuses_the_actions_that_the_env_refuses(make_env):
    team = to_fixed_team(make_env())
    team.reset(seed=0)
    with pytest.raises(RoutingError, match="there is no agent 'vehicle_99'"):
        team.step({"vehicle_99": 0})
    with pytest.raises(RoutingError, match="actions are a dict of agents"):
        team.step([0, 0, 0])
    assert team.step({})[0].keys() == set(team.possible_agents)


def test_flattened_observation_is_the_vector_and_the_mask_is_in_the_info(make_env):
    team = to_fixed_team(make_env(), flatten=True)
    for observations, _, _, _, infos in drive(team):
        for agent, vector in observations.items():
            assert team.observation_space(agent).contains(vector)
            assert infos[agent]["action_mask"].any()


def test_strict_env_is_fit_for_a_fixed_team(make_env):
    assert list(drive(to_fixed_team(make_env(strict=True))))


def test_wrappers_say_what_they_take(make_env):
    for wrap in (to_fixed_team, numeric_infos):
        with pytest.raises(TypeError, match=r"takes what parallel_env .*returns, not"):
            wrap(parallel_to_aec(make_env()))
    with pytest.raises(TypeError, match="not FixedTeam"):
        to_fixed_team(to_fixed_team(make_env()))
