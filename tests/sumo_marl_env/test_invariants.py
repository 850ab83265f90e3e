"""Random small networks, scenarios and actions: what must hold in every episode."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from sumo_marl_env import Demand, Exit, NetworkError, RoutingEnv, Scenario, ScenarioError, load_network, make_scenario
from sumo_marl_env.sumo_programs import sumo_home


@dataclass(frozen=True)
class Case:
    """One drawn episode.

    Attributes:
        network: options of netgenerate.
        agents: number of agents.
        vehicles: size of the background population.
        horizon_s: seconds.
        last_departure_s: agents depart evenly spread from 0 until then.
        careless: share of the actions that are masked out or missing.
        seed: of trips, traffic and actions.
    """

    network: tuple[str, ...]
    agents: int
    vehicles: int
    horizon_s: float
    last_departure_s: float
    careless: float
    seed: int


@st.composite
def grids(draw) -> list[str]:
    sizes = {axis: draw(st.integers(2, 5)) for axis in "xy"}
    lengths = {axis: draw(st.integers(30, 200)) for axis in "xy"}
    options = [f"--grid.{axis}-number={sizes[axis]}" for axis in "xy"]
    options += [f"--grid.{axis}-length={lengths[axis]}" for axis in "xy"]
    return ["--grid", *options, f"--grid.attach-length={draw(st.sampled_from([0, 80]))}"]


@st.composite
def spiders(draw) -> list[str]:
    arms, circles = draw(st.integers(3, 7)), draw(st.integers(1, 3))
    options = [f"--spider.arm-number={arms}", f"--spider.circle-number={circles}"]
    return ["--spider", *options, f"--spider.space-radius={draw(st.integers(40, 150))}"]


@st.composite
def random_ones(draw) -> list[str]:
    distances = draw(st.integers(20, 80)), draw(st.integers(100, 200))
    options = [f"--rand.iterations={draw(st.integers(15, 60))}", f"--rand.min-distance={distances[0]}"]
    options += [f"--rand.max-distance={distances[1]}", f"--rand.connectivity={draw(st.floats(0.5, 1.0)):.2f}"]
    return ["--rand", *options, f"--random-lanenumber={draw(st.sampled_from(['false', 'true']))}"]


@st.composite
def networks(draw) -> tuple[str, ...]:
    options = draw(st.one_of(grids(), spiders(), random_ones()))
    options.append(f"--default.lanenumber={draw(st.integers(1, 3))}")
    options.append(
        f"--default-junction-type={draw(st.sampled_from(['priority', 'traffic_light', 'right_before_left']))}"
    )
    options.append(f"--no-turnarounds={'true' if draw(st.booleans()) else 'false'}")
    options.append(f"--lefthand={'true' if draw(st.booleans()) else 'false'}")
    return (*options, f"--seed={draw(st.integers(0, 10_000))}")


cases = st.builds(
    Case,
    network=networks(),
    agents=st.integers(1, 12),
    vehicles=st.sampled_from([0, 10, 40]),
    horizon_s=st.sampled_from([1.0, 60.5, 300.0, 600.0]),
    last_departure_s=st.sampled_from([0.0, 30.0, 250.25]),
    careless=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 10_000),
)


@cache
def folder() -> TemporaryDirectory:
    return TemporaryDirectory(prefix="invariants_")


@cache
def net_file(options: tuple[str, ...]) -> Path:
    path = Path(folder().name) / f"{abs(hash(options))}.net.xml"
    subprocess.run([sumo_home() / "bin" / "netgenerate", *options, "-o", path], check=True, capture_output=True)
    return path


def scenario_of(case: Case) -> Scenario:
    scenario = make_scenario(
        network=load_network(net_file(case.network)),
        demand=Demand("drawn", case.vehicles, arterial_vehicles_per_hour=2.0 * case.vehicles),
        num_agents=case.agents,
        horizon_s=case.horizon_s,
        trips_seed=case.seed,
    )
    last_s = min(case.last_departure_s, case.horizon_s / 2)
    departures_s = np.linspace(0.0, last_s, case.agents)
    trips = tuple(replace(t, depart_s=float(s)) for t, s in zip(scenario.trips, departures_s, strict=True))
    return replace(scenario, trips=trips)


class Checked:
    """Drives one episode and checks every step of it."""

    def __init__(self, env: RoutingEnv, case: Case) -> None:
        self.env, self.case = env, case
        self.rng = np.random.default_rng(case.seed)
        self.returns = dict.fromkeys(env.possible_agents, 0.0)
        self.last_infos: dict[str, dict] = {}

    def run(self) -> None:
        env = self.env
        observations, infos = env.reset(seed=self.case.seed)
        assert list(observations) == list(infos) == env.agents == env.possible_agents
        state_shape = env.state().shape
        while env.agents:
            self.check_seen(observations, infos)
            live = list(env.agents)
            actions = self.actions(observations)
            observations, rewards, terminated, truncated, infos = env.step(actions)
            assert env.state().shape == state_shape
            assert np.isfinite(env.state()).all()
            for answer in (observations, rewards, terminated, truncated, infos):
                assert list(answer) == live
            assert env.agents == [agent for agent in live if infos[agent]["exit"] is None]
            for agent in live:
                self.returns[agent] += rewards[agent]
                exit = infos[agent]["exit"]
                assert terminated[agent] == (exit == Exit.ARRIVED)
                assert truncated[agent] == (exit is not None and exit != Exit.ARRIVED)
                assert env.observation_space(agent).contains(observations[agent])
            self.last_infos |= infos
        assert env.time_s >= self.case.horizon_s or all(info["exit"] for info in self.last_infos.values())
        self.check_record()

    def check_seen(self, observations, infos) -> None:
        env, network = self.env, self.env.network
        assert env.deciders == tuple(agent for agent in env.agents if infos[agent]["is_decider"])
        for agent, observation in observations.items():
            if agent not in env.agents:
                continue
            assert env.observation_space(agent).contains(observation)
            allowed = network.action_masks[network.edge_index[infos[agent]["edge"]]]
            mask = observation["action_mask"]
            if infos[agent]["is_decider"]:
                assert (mask == allowed).all()
                assert mask.any()
            else:
                assert mask.sum() == 1
                assert (mask <= allowed).all()

    def actions(self, observations) -> dict[str, int]:
        """Mostly valid ones for the deciders; the others' are ignored."""
        actions = {}
        for agent in self.env.agents:
            valid = np.flatnonzero(observations[agent]["action_mask"])
            if self.rng.random() >= self.case.careless:
                actions[agent] = int(self.rng.choice(valid))
            elif self.rng.random() < 0.5:
                actions[agent] = int(self.rng.integers(self.env.action_space(agent).n))
        return actions

    def check_record(self) -> None:
        env, horizon_s = self.env, self.case.horizon_s
        network, episode = env.network, env.episode()
        assert episode.rewards.sum(axis=0) == pytest.approx(list(self.returns.values()), abs=0.05)
        assert episode.mean_reward == pytest.approx(np.mean(list(self.returns.values())), abs=0.05)
        for trajectory in episode:
            agent, trip, info = trajectory.agent, trajectory.trip, self.last_infos[trajectory.agent]
            assert (str(trajectory.exit), trajectory.travel_time_s) == (info["exit"], info["travel_time_s"])
            assert trajectory.exit != Exit.LOST
            start_m = network.distance_m(trip.origin, trip.destination)
            at_m = network.distance_m(int(trajectory.junctions[-1]), trip.destination)
            bonus = 0.1 * horizon_s if trajectory.arrived else 0.0
            assert self.returns[agent] == pytest.approx(start_m - at_m - trajectory.travel_time_s + bonus, abs=1e-3)
            if len(trajectory.actions):
                assert trajectory.total_reward == pytest.approx(self.returns[agent], abs=0.05)
            for edge, following in zip(trajectory.edges, trajectory.edges[1:], strict=False):
                assert following in network.successors[edge]
            assert (trajectory.decision_times_s >= trip.depart_s).all()
            chosen = trajectory.action_masks[np.arange(len(trajectory.actions)), trajectory.actions]
            assert chosen.all()
            if trajectory.arrived:
                assert at_m == 0.0
                assert network.edge_to[trajectory.edges[-1]] == trip.destination
            if trajectory.departed_s is None:
                assert trajectory.exit == Exit.NOT_INSERTED
                assert not len(trajectory.actions)
            else:
                assert trajectory.departed_s >= np.floor(trip.depart_s)


# Routes that turn round on very short edges lead past the same edge twice.
TINY_EDGES = Case(
    network=("--spider", "--spider.arm-number=3", "--spider.circle-number=3", "--spider.space-radius=48",
             "--default.lanenumber=3", "--no-turnarounds=false", "--seed=0"),
    agents=2, vehicles=0, horizon_s=60.5, last_departure_s=0.0, careless=0.0, seed=0,
)  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=cases)
@example(case=TINY_EDGES)
def test_every_episode_keeps_the_invariants(case):
    try:
        scenario = scenario_of(case)
    except (NetworkError, ScenarioError, subprocess.CalledProcessError):
        # Too small to drive round in, or for a trip: refused in words. Some options leave netgenerate without a node.
        assume(False)
    env = RoutingEnv(scenario, isolate=False)
    try:
        Checked(env, case).run()
    finally:
        env.close()
