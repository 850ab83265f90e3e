import pytest
from helpers import live_shortest_time

from sumo_marl_env import numeric_infos, to_fixed_team
from sumo_marl_env.numeric_infos import NUMERIC_KEYS


@pytest.mark.parametrize("wrap", [lambda env: env, to_fixed_team], ids=["agents that leave", "fixed team"])
def test_infos_are_floats_under_the_same_keys_in_every_step(make_env, wrap):
    env = numeric_infos(wrap(make_env()))
    _, infos = env.reset(seed=0)
    while env.agents:
        assert all(tuple(info) == NUMERIC_KEYS for info in infos.values())
        assert all(type(value) is float for info in infos.values() for value in info.values())
        *_, infos = env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})


def test_numbers_are_those_of_the_environment(make_env):
    env = numeric_infos(make_env())
    _, infos = env.reset(seed=0)
    last = dict(infos)
    while env.agents:
        assert {agent for agent in env.agents if infos[agent]["is_decider"]} == set(env.deciders)
        *_, infos = env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})
        last.update(infos)
    for trajectory in env.episode():
        info = last[trajectory.agent]
        assert (info["arrived"], info["travel_time_s"]) == (1.0, trajectory.travel_time_s)


def test_agents_that_do_not_arrive_have_no_arrival(make_env):
    env = numeric_infos(make_env(horizon_s=20.0))
    env.reset(seed=0)
    while env.agents:
        *_, infos = env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})
    assert all((info["arrived"], info["travel_time_s"]) == (0.0, 20.0) for info in infos.values())
