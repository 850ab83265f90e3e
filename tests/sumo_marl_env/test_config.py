import inspect
import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from helpers import live_shortest_time, run_episode
from hypothesis import given
from hypothesis import strategies as st

from sumo_marl_env import (
    DEMANDS,
    ConfigError,
    Demand,
    EnvConfig,
    PaperReward,
    RoutingEnv,
    ScenarioConfig,
    ScenarioError,
    Trip,
    make_scenario,
    parallel_env,
)

NUMBERS = st.floats(0.1, 1e6)
TRIPS = st.builds(Trip, st.text(), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.floats(0, 99))
CONFIGS = st.builds(
    EnvConfig,
    st.sampled_from(["gridtown", "rush", "own.json"]),
    st.none() | st.sampled_from(["none", "buses.rou.xml"]) | st.builds(Demand, st.text(), st.integers(0, 9)),
    st.none() | st.integers(1, 100),
    network=st.none() | st.just("town.osm"),
    horizon_s=st.none() | NUMBERS,
    trips_seed=st.none() | st.integers(0, 2**31),
    trips=st.none() | st.just("rush"),
    observation=st.sampled_from(["paper", "features"]),
    reward=st.sampled_from(["paper", "travel_time"]),
    smoothing_s=NUMBERS,
    strict=st.booleans(),
    isolate=st.none() | st.booleans(),
    sumo_options=st.lists(st.text()),
    render_mode=st.none() | st.sampled_from(["rgb_array", "human"]),
)


@given(CONFIGS, st.lists(TRIPS))
def test_configuration_comes_back_from_json(config, trips):
    for one in (config, replace(config, num_agents=None, trips_seed=None, trips=trips)):
        assert EnvConfig.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_a_demand_by_its_fields_begins_with_the_built_in_one_of_its_name():
    given = {"name": "congested", "arterial_vehicles_per_hour": 10}
    assert EnvConfig.from_dict({"demand": given}).demand == replace(DEMANDS["congested"], arterial_vehicles_per_hour=10)


def test_json_holds_only_what_differs_from_the_defaults(grid):
    assert EnvConfig().to_dict() == {}
    config = EnvConfig("rush", network=grid, demand=Demand("own", 3), isolate=True)
    assert config.to_dict() == {
        "scenario": "rush",
        "network": str(grid.net_file),
        "demand": {
            "name": "own",
            "num_vehicles": 3,
            "mode": "constant",
            "arterial_vehicles_per_hour": 0.0,
            "max_load": 0.0,
            "route_file": None,
        },
        "isolate": True,
    }


def test_every_unknown_key_is_named_with_a_hint():
    with pytest.raises(ConfigError, match=r"'num_agent'; did you mean 'num_agents'\?\nunknown key 'x'; known are sce"):
        EnvConfig.from_dict({"num_agent": 3, "x": 1})
    with pytest.raises(ConfigError, match=r"demand: unknown key 'vehicles'; did you mean 'num_vehicles'\?"):
        EnvConfig.from_dict({"demand": {"name": "own", "vehicles": 3}})
    with pytest.raises(ConfigError, match=r"trips\[1\] must be an object with agent, origin, destination"):
        EnvConfig.from_dict({"trips": [{"agent": "a", "origin": 0, "destination": 1, "origin_edge": 0}, 7]})
    with pytest.raises(ConfigError, match=r"trips\[0\]: .* missing 3 required"):
        EnvConfig.from_dict({"trips": [{"agent": "a"}]})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_agents": "ten"}, "num_agents must be a whole number, not 'ten'"),
        ({"num_agents": True}, "num_agents must be a whole number, not True"),
        ({"horizon_s": "1h"}, "horizon_s must be a number, not '1h'"),
        ({"strict": 1}, "strict must be True or False, not 1"),
        ({"sumo_options": "--fcd-output x.xml"}, "sumo_options must be a list of texts"),
        ({"sumo_options": None}, "sumo_options must be a list of texts"),
        ({"smoothing_s": None}, "smoothing_s must be a number, not None"),
        ({"network": 5}, "network must be a file or a RoadNetwork, not 5"),
        ({"trips": 5}, "trips must be Trip objects, or a name of TRIP_PATTERNS, not 5"),
        ({"backend": "x"}, "unknown backend 'x'; choose libsumo or traci"),
        ({"smoothing_s": float("nan")}, "smoothing_s must be a finite number"),
        ({"smoothing_s": -3.0}, "smoothing_s must be 0"),
        ({"horizon_s": float("inf")}, "horizon_s must be a finite number"),
        ({"horizon_s": 10**400}, "horizon_s must be a finite number"),
        ({"trips_seed": -1}, "trips_seed must be 0 or more"),
        ({"trips": [{"origin": 1}]}, "trips must be Trip objects"),
        ({"trips": [Trip("a", 0, 5, 0)], "num_agents": 7}, "num_agents is 7, but 1 trips are given"),
        ({"trips": [Trip("a", 0, 5, 0)], "trips_seed": 7}, "trips_seed says how trips are drawn, but trips are given"),
        ({"trips": [Trip("a", "0", 5, 0)]}, "a: origin must be an index"),
        ({"trips": [Trip("background_0", 0, 5, 0)]}, "'background_0' is a name of background traffic"),
        ({"demand": {"name": "x"}}, "a demand is a name, a file or a Demand"),
        ({"render_mode": "ansi"}, "unknown render_mode 'ansi'; choose rgb_array, human or None"),
        ({"observation": "papr"}, "unknown observation 'papr'; choose paper, features, or give a class"),
        ({"observation": 5}, "observation 5 must have space, begin and encode"),
        ({"reward": "money"}, "unknown reward 'money'; choose paper, travel_time, or give a class"),
        ({"reward": 5}, "reward 5 must be callable"),
    ],
)
def test_wrong_values_are_refused_in_words(make_env, wrong, message):
    with pytest.raises((ConfigError, ScenarioError), match=message):
        make_env(**wrong)


def test_what_json_cannot_hold_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"reward holds .*PaperReward.* give a name or a file instead"):
        EnvConfig(reward=PaperReward).to_dict()


def test_functions_take_the_fields_as_arguments():
    assert list(inspect.signature(parallel_env).parameters) == [field.name for field in fields(EnvConfig)]
    assert list(inspect.signature(make_scenario).parameters) == [field.name for field in fields(ScenarioConfig)]
    with pytest.raises(ConfigError, match="unknown key 'num_agent'; did you mean 'num_agents'"):
        parallel_env(num_agent=3)


def test_env_of_a_configuration_is_that_of_its_arguments(make_env, grid):
    env = make_env(num_agents=2, reward="travel_time")
    config = EnvConfig(network=grid, demand="none", num_agents=2, horizon_s=900.0, reward="travel_time")
    made = RoutingEnv.from_config(config)
    assert made.scenario == env.scenario
    first = run_episode(env, 0, live_shortest_time)
    env.close()
    assert (first.rewards == run_episode(made, 0, live_shortest_time).rewards).all()
    made.close()
    assert parallel_env(**config.arguments()).scenario == env.scenario


def test_a_scenario_is_complete(make_env):
    scenario = make_env().scenario
    assert parallel_env(scenario, strict=True).scenario is scenario
    with pytest.raises(ScenarioError, match="leave out demand, num_agents, or change it"):
        make_scenario(scenario, "none", 3)


USER_PROGRAM = """
from typing import Any
import numpy as np
from numpy.typing import NDArray
from sumo_marl_env import EnvConfig, Scenario, make_scenario, parallel_env, to_fixed_team

class Punctual:
    def __init__(self, scenario: Scenario) -> None:
        self.horizon_s = scenario.horizon_s

    def __call__(
        self, elapsed_s: NDArray[np.float64], approach_m: NDArray[np.float64], arrived: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        return -elapsed_s / self.horizon_s

env = parallel_env("gridtown", "moderate", 10, reward=Punctual, render_mode="rgb_array")
observations, infos = env.reset(seed=0)
vector: NDArray[Any] = observations["vehicle_0"]["observation"]
reveal_type(env.deciders)
reveal_type(make_scenario("rush").trips)
reveal_type(env.render())
graph = env.network.line_graph()
reveal_type(graph.edge_index)
team = to_fixed_team(env, flatten=True)
team.reset(seed=1)
config = EnvConfig.from_dict(EnvConfig(num_agents=3).to_dict())
parallel_env(num_agents="ten")
parallel_env(agents=10)
"""


def test_strict_type_checker_knows_the_public_functions(tmp_path):
    (tmp_path / "user.py").write_text(USER_PROGRAM)
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = True\n")
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports=silent", "user.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split(": ", 2) for line in result.stdout.splitlines() if line.startswith("user.py")]
    notes = [message for _, kind, message in lines if kind == "note"]
    errors = [message for _, kind, message in lines if kind == "error"]
    revealed = [note.split('"')[1] for note in notes if note.startswith("Revealed")]
    assert revealed[:2] == ["tuple[str, ...]", "tuple[sumo_marl_env.types.Trip, ...]"]
    assert len(revealed) == 4
    assert all(array.startswith("numpy.ndarray") for array in revealed[2:])
    assert len(errors) == 2, errors
    assert 'incompatible type "str"; expected "int | None"' in errors[0]
    assert 'Unexpected keyword argument "agents"' in errors[1]
