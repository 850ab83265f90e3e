import copy
import gc
import pickle
import subprocess
import sys
import weakref

import cloudpickle
import numpy as np
import pytest
from helpers import live_shortest_time, run_episode

import sumo_marl_env
from sumo_marl_env import FixedTeam, RoutingError, numeric_infos, to_fixed_team
from sumo_marl_env.observations import PaperObservation


def running(env):
    env.reset(seed=1)
    env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})
    return env


def pickled(env):
    return pickle.loads(pickle.dumps(env))


@pytest.mark.parametrize(
    ("again", "isolate"), [(copy.copy, None), (copy.deepcopy, None), (pickled, None), (pickled, True)]
)
def test_copy_of_a_running_env_waits_for_its_first_reset(make_env, again, isolate):
    env = running(make_env(demand="moderate", isolate=isolate, observation="features"))
    other = again(env)
    assert not other.agents
    with pytest.raises(RoutingError, match="no episode yet: call reset"):
        other.step({})
    assert env.agents
    expected = run_episode(env, 3, live_shortest_time)
    env.close()
    assert np.array_equal(run_episode(other, 3, live_shortest_time).rewards, expected.rewards)
    other.close()


def test_a_copy_has_an_observation_of_its_own(make_env):
    observation = PaperObservation(make_env().scenario)
    env = make_env(observation=observation)
    for original in (env, to_fixed_team(env), numeric_infos(env)):
        twin = copy.copy(original)
        assert twin.unwrapped is not env
        assert twin.unwrapped.options.observation is not observation
        assert twin.unwrapped.network is env.network
    assert env.options.observation is observation


def test_pickle_of_a_closed_env_is_fit_to_run(make_env):
    env = running(make_env())
    env.close()
    other = pickle.loads(pickle.dumps(env))
    assert other.scenario.trips == env.scenario.trips
    assert run_episode(other, 0, live_shortest_time).arrival_rate == 1.0
    other.close()


def test_env_and_its_maker_travel_to_a_fresh_process(make_env, tmp_path):
    env = make_env(demand="moderate", horizon_s=200.0)
    expected = float(run_episode(env, 3, lambda e, a: int(np.argmax(e.action_mask(a)))).rewards.sum())
    env.close()
    (tmp_path / "env.pickle").write_bytes(cloudpickle.dumps((env, lambda: env)))
    program = """
import pickle, sys, numpy as np
env, make = pickle.load(open(sys.argv[1], "rb"))
assert make() is env
env.reset(seed=3)
while env.agents:
    env.step({agent: int(np.argmax(env.action_mask(agent))) for agent in env.deciders})
print(float(env.episode().rewards.sum()))
env.close()
"""
    command = [sys.executable, "-c", program, str(tmp_path / "env.pickle")]
    result = subprocess.run(command, env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=True)
    assert float(result.stdout) == expected


def test_fixed_team_is_copied_with_its_env(make_env):
    team = to_fixed_team(make_env(), flatten=True)
    team.reset(seed=0)
    other = pickle.loads(pickle.dumps(team))
    assert isinstance(other, FixedTeam)
    assert not other.agents
    assert other.observation_space("vehicle_0") == team.observation_space("vehicle_0")
    team.close()
    observations, _ = other.reset(seed=0)
    assert observations["vehicle_0"].ndim == 1
    other.close()


def test_networks_do_not_outlive_their_last_user(grid):
    other = pickle.loads(pickle.dumps(grid))
    alive = weakref.ref(other)
    env = sumo_marl_env.parallel_env(network=other, demand="moderate", num_agents=2)
    run_episode(env, 0, live_shortest_time)
    env.close()
    del other, env
    gc.collect()
    assert alive() is None


def test_network_stays_immutable_and_small(grid):
    plain = len(pickle.dumps(grid))
    assert grid.slot_ends.any()
    assert grid.slot(*grid.connections[0].tolist()) >= 0
    again = pickle.loads(pickle.dumps(grid))
    assert len(pickle.dumps(grid)) == plain
    assert again.edge_ids == grid.edge_ids
    with pytest.raises(ValueError, match="read-only"):
        again.edge_length_m[0] = 1.0
    assert copy.deepcopy(grid) is grid
