import itertools
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from helpers import plain_network, random_action, run_episode

import sumo_marl_env
from sumo_marl_env import BoundingBox, Exit, RoadNetwork, Trip, load_network, run_yardstick, summary
from sumo_marl_env.simulation.steering import Steering
from sumo_marl_env.simulation.sumo import SumoSimulator
from sumo_marl_env.sumo_programs import sumo_home

FAULTS = ("lost", "teleported", "stuck", "simulator_failed")


@pytest.mark.parametrize("demand", ["moderate", "congested"])
@pytest.mark.parametrize(
    "where",
    ["gridtown", "harbourtown", "hong_kong_tsimshatsui/tsimshatsui.osm", "manhattan/manhattan.net.xml",
     "luxembourg/luxembourg.osm"],
)  # fmt: skip
def test_random_policy_loses_and_strands_nobody(where, demand, real_map):
    """Random walks visit every awkward corner: short edges, wrong lanes, shared origins."""
    box = BoundingBox(6.118, 49.603, 6.142, 49.619) if where.startswith("luxembourg") else None
    network = load_network(where if where.endswith("town") else real_map(where), bbox=box)
    env = sumo_marl_env.parallel_env(network=network, demand=demand, num_agents=20)
    figures = summary(run_yardstick(env, "random", [0]))
    env.close()
    assert {key: figures[key] for key in FAULTS} == dict.fromkeys(FAULTS, 0)


def test_paths_are_connected_and_end_where_the_trip_ends(make_env):
    env = make_env(demand="moderate", num_agents=10)
    rng = np.random.default_rng(1)
    episode = run_episode(env, 0, lambda env, agent: random_action(env, agent, rng))
    streets = set(zip(env.network.edge_from.tolist(), env.network.edge_to.tolist(), strict=True))
    for trajectory in episode:
        path = trajectory.path()
        assert path[0] == trajectory.trip.origin
        assert set(itertools.pairwise(path)) <= streets
        if trajectory.arrived:
            assert path[-1] == trajectory.trip.destination


def test_executed_actions_lead_along_the_recorded_path(make_env):
    env = make_env(num_agents=5)
    rng = np.random.default_rng(2)
    episode = run_episode(env, 0, lambda env, agent: random_action(env, agent, rng))
    for trajectory in episode:
        approached = trajectory.observations[:, 0].astype(int)
        chosen_ends = env.network.slot_ends[approached, trajectory.actions]
        assert chosen_ends[:-1].tolist() == approached[1:].tolist()


def test_vehicle_inside_a_junction_is_not_given_another_way(grid_file, grid):
    """It may stand there for long, and behind a very short edge SUMO refuses any route from the last edge seen."""
    simulator = SumoSimulator()
    simulator.load(grid_file, seed=0)
    first = 0
    second = grid.successors[first][0]
    simulator.add_vehicle("vehicle_0", [grid.edge_ids[first], grid.edge_ids[second]], 0.0, is_agent=True)
    found: dict[bool, set] = {True: set(), False: set()}
    for _ in range(200):
        simulator.step()
        road = simulator.road("vehicle_0") if "vehicle_0" not in simulator.arrived() else None
        if road is None or road == grid.edge_ids[second]:
            break
        if road:
            found[road[0] == ":"].add(simulator.lane_exits_when_blocked("vehicle_0", waiting_s=0.0, within_m=1000.0))
    simulator.close()
    assert found[True] == {None}
    assert None not in found[False]


@pytest.mark.parametrize(
    ("town", "demand", "options"),
    [("gridtown", "congested", []), ("harbourtown", "moderate", []), ("gridtown", "moderate", ["--no-internal-links"])],
)
def test_vehicles_that_are_looked_at_in_every_second_are_seen_to_do_nothing_else(town, demand, options, monkeypatch):
    def episode():
        env = sumo_marl_env.parallel_env(
            town, demand, num_agents=20, horizon_s=900.0, isolate=False, sumo_options=options
        )
        rng = np.random.default_rng(3)
        record = run_episode(env, 4, lambda env, agent: random_action(env, agent, rng))
        env.close()
        return record

    seldom = episode()
    look_at = Steering._look_at
    monkeypatch.setattr(Steering, "_look_at", lambda self, agent, time_s: look_at(self, agent, self.time_s + 1))
    always = episode()
    assert np.array_equal(seldom.rewards, always.rewards)
    assert np.array_equal(seldom.times_s, always.times_s)
    for a, b in zip(seldom, always, strict=True):
        assert (a.exit, a.travel_time_s, a.departed_s) == (b.exit, b.travel_time_s, b.departed_s)
        assert np.array_equal(a.decision_times_s, b.decision_times_s)
        assert np.array_equal(a.edges, b.edges)


def test_vehicles_that_overtake_on_the_opposite_lane_stay_on_their_route(tmp_path):
    file, trucks = tmp_path / "rural.net.xml", tmp_path / "trucks.rou.xml"
    grid = ["--grid", "--grid.number", "3", "--grid.length", "600", "--no-turnarounds", "true"]
    command = [sumo_home() / "bin" / "netgenerate", *grid, "--default.lanenumber", "1", "--opposites.guess", "true"]
    subprocess.run([*command, "--output-file", file], check=True, capture_output=True)
    network = RoadNetwork.from_net_file(file)
    slow = [
        f'<vehicle id="{edge}_{time_s}" type="slow" depart="{time_s}"><route edges="{edge}"/></vehicle>'
        for time_s in range(0, 150, 30)
        for edge in network.edge_ids
    ]
    trucks.write_text(f'<routes><vType id="slow" maxSpeed="3"/>{"".join(slow)}</routes>')
    env = sumo_marl_env.parallel_env(network=network, demand=trucks, num_agents=16, horizon_s=900.0, isolate=False)
    rng = np.random.default_rng(1)
    episode = run_episode(env, 1, lambda env, agent: random_action(env, agent, rng))
    env.close()
    assert episode.count(Exit.SIMULATOR_FAILED) == 0
    assert episode.arrival_rate > 0.8


def test_an_empty_road_with_a_pavement_is_as_fast_as_its_lanes_for_cars(tmp_path):
    nodes = {"a": (0, 0), "b": (300, 0), "c": (300, 300), "d": (0, 300)}
    network = plain_network(tmp_path, nodes, ["ab", "bc", "cd", "da"], with_pavements=True)
    a, d = network.junction_index["a"], network.junction_index["d"]
    trip = Trip("vehicle_0", a, d, network.edge_index["ab"], 0.0)
    env = sumo_marl_env.parallel_env(network=network, trips=(trip,), demand="none", smoothing_s=0.0)
    run_episode(env, 0, lambda env, agent: int(np.flatnonzero(env.action_mask(agent))[0]))
    empty = network.edge_index["da"]
    assert env.time_s > 60.0, "speeds have been read"
    assert env.edge_times_s[empty] == network.free_flow_time_s[empty]
    env.close()


def test_a_busy_road_with_a_pavement_is_as_fast_as_its_vehicles(tmp_path):
    nodes = {"a": (0, 0), "b": (300, 0), "c": (300, 300), "d": (0, 300)}
    mean_mps = []
    for with_pavements in (False, True):
        network = plain_network(tmp_path, nodes, ["ab", "bc", "cd", "da"], with_pavements=with_pavements)
        a, d, edge = network.junction_index["a"], network.junction_index["d"], network.edge_index["ab"]
        trips = tuple(Trip(f"vehicle_{row}", a, d, edge, 0.0) for row in range(12))
        env = sumo_marl_env.parallel_env(network=network, trips=trips, demand="none", smoothing_s=0.0)
        env.reset(seed=0)
        while env.time_s < 40.0:
            env.step({agent: int(np.flatnonzero(env.action_mask(agent))[0]) for agent in env.deciders})
        mean_mps.append(env.fleet.edge_speeds_mps[edge])
        env.close()
    assert mean_mps[0] < 9.0
    assert mean_mps[1] == pytest.approx(mean_mps[0], rel=0.1)


def test_nobody_departs_before_the_time(make_env):
    trip = make_env().scenario.trips[0]
    env = make_env(trips=(replace(trip, depart_s=13.004),))
    env.reset(seed=0)
    assert env.info(trip.agent)["departed_s"] == 14.0
