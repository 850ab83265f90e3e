import sys
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pettingzoo
import pytest
from helpers import live_shortest_time
from pettingzoo.test import api_test, parallel_api_test, seed_test
from pettingzoo.test.state_test import test_state as check_state
from pettingzoo.test.state_test import test_state_space as check_state_space
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

import sumo_marl_env
from sumo_marl_env import RoutingEnv, RoutingError, sumo_routing_v0


@pytest.fixture
def arguments(grid):
    return {"network": grid, "demand": "none", "num_agents": 3, "horizon_s": 900.0}


def test_agent_by_agent_env_passes_the_api_test_with_warnings_as_errors(arguments):
    for make in (sumo_routing_v0.env, sumo_routing_v0.raw_env):
        env = make(**arguments)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # Said of every env with action masks in its observations but PettingZoo's own, which it knows by name.
            warnings.filterwarnings("ignore", "Observation space for each agent probably should be")
            warnings.filterwarnings("ignore", "Observation is not a NumPy array")
            api_test(env, num_cycles=30)
        env.close()


def test_agent_by_agent_env_passes_the_seed_test(arguments):
    seed_test(partial(sumo_routing_v0.env, **{**arguments, "horizon_s": 300.0}))


def test_state_passes_the_state_tests(arguments):
    env = sumo_routing_v0.env(**arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_state_space(env)
        check_state(env, num_cycles=30)
    env.close()


def test_both_kinds_give_the_same_episode(arguments):
    parallel = sumo_routing_v0.parallel_env(**arguments)
    parallel.reset(seed=2)
    while parallel.agents:
        parallel.step({agent: live_shortest_time(parallel, agent) for agent in parallel.deciders})
    expected = parallel.episode()
    parallel.close()
    env = sumo_routing_v0.env(**arguments)
    env.reset(seed=2)
    for agent in env.agent_iter():
        observation, _, terminated, truncated, info = env.last()
        if terminated or truncated:
            env.step(None)
        elif info["is_decider"]:
            env.step(live_shortest_time(env.unwrapped, agent))
        else:
            env.step(int(np.argmax(observation["action_mask"])))
    assert np.array_equal(env.unwrapped.episode().rewards, expected.rewards)
    env.close()


def test_wrapped_env_refuses_a_wrong_order_and_the_raw_one_has_no_wrappers(arguments):
    env = sumo_routing_v0.env(**arguments)
    assert isinstance(env, OrderEnforcingWrapper)
    with pytest.raises(AttributeError, match="cannot be accessed before reset"):
        _ = env.agent_selection
    assert not isinstance(sumo_routing_v0.raw_env(**arguments), pettingzoo.utils.wrappers.BaseWrapper)


def test_the_registry_makes_both_kinds(arguments):
    parallel = pettingzoo.make("parallel", "sumo_marl_env/sumo_routing_v0", **arguments)
    assert isinstance(parallel, RoutingEnv)
    assert str(parallel) == "sumo_routing_v0"
    parallel_api_test(parallel, num_cycles=5)
    parallel.close()
    assert isinstance(pettingzoo.make("aec", "sumo_marl_env/sumo_routing-v0", **arguments), pettingzoo.AECEnv)


def test_the_package_has_the_functions_of_the_newest_version():
    assert sumo_marl_env.parallel_env is sumo_routing_v0.parallel_env
    assert sumo_marl_env.env is sumo_routing_v0.env
    assert sumo_marl_env.raw_env is sumo_routing_v0.raw_env


def test_rendering_returns_a_picture_or_shows_it(make_env, monkeypatch):
    picture, shown = np.zeros((4, 5, 3), np.uint8), []
    drawing = SimpleNamespace(draw=lambda env: picture, show=shown.append)
    monkeypatch.setitem(sys.modules, "sumo_marl_env.pictures.render", drawing)
    env = make_env(render_mode="rgb_array")
    with pytest.raises(RoutingError, match="no episode yet: call reset"):
        env.render()
    env.reset(seed=0)
    assert env.render() is picture
    env.close()
    env = make_env(render_mode="human")
    env.reset(seed=0)
    assert env.render() is None
    assert shown == [picture]
    assert set(env.metadata["render_modes"]) == {"rgb_array", "human"}
    with pytest.warns(UserWarning, match="make the environment with a render_mode"):
        assert make_env().render() is None
