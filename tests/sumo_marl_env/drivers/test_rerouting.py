from pathlib import Path

import numpy as np
import pytest
from helpers import plain_network

from sumo_marl_env import (
    DEMANDS,
    Exit,
    RoadNetwork,
    RoutingEnv,
    RoutingError,
    Scenario,
    SimulatorError,
    Trip,
    run_yardstick,
)
from sumo_marl_env.drivers.rerouting import _command, teleport_times
from sumo_marl_env.drivers.sumo_inputs import write_traffic, write_zones
from sumo_marl_env.simulation.sumo_options import further_options
from sumo_marl_env.sumo_programs import read_output, run_program


class Retrace:
    """Repeats the decisions of another episode."""

    def __init__(self, episode):
        self._episode = episode

    def begin(self, env, seed):
        self._left = {trajectory.agent: trajectory.actions.tolist() for trajectory in self._episode}

    def act(self, env, agent):
        return self._left[agent].pop(0)


def test_the_env_measures_the_same_drive_alike(make_env):
    # Nearly: SUMO chooses lanes by the whole route, of which the env gives it only the next edges.
    env = make_env(network="gridtown", num_agents=5, horizon_s=2400.0)
    (device,) = run_yardstick(env, "rerouting", [4])
    (retraced,) = run_yardstick(env, Retrace(device), [4])
    for one, other in zip(device, retraced, strict=True):
        assert one.departed_s == other.departed_s is not None
        np.testing.assert_array_equal(one.edges, other.edges)
        np.testing.assert_array_equal(one.decision_edges, other.decision_edges)
        assert one.travel_time_s == pytest.approx(other.travel_time_s, abs=2.0)
        assert one.total_reward == pytest.approx(other.total_reward, abs=2.0)
        assert one.path() == other.path()
        np.testing.assert_array_equal(one.actions, other.actions)


def test_a_step_is_what_it_is_in_the_env(make_env):
    """Rewards need not add up over the parts of a step."""
    env = make_env(num_agents=1, reward=_OneEachStep())
    (device,) = run_yardstick(env, "rerouting", [4])
    (retraced,) = run_yardstick(env, Retrace(device), [4])
    assert device.rewards.shape == retraced.rewards.shape
    assert device.trajectories[0].total_reward == retraced.trajectories[0].total_reward
    np.testing.assert_array_equal(device.trajectories[0].decision_steps, retraced.trajectories[0].decision_steps)


def test_drivers_are_those_of_the_env(make_env, tmp_path):
    env = make_env(num_agents=5, demand="moderate", sumo_options=["--tripinfo-output", str(tmp_path / "env.xml")])
    run_yardstick(env, "free_flow", [0])
    env.close()
    write_traffic(tmp_path / "traffic.rou.xml", env.scenario, env.scenario.background(0), agents="rerouting")
    write_zones(tmp_path / "zones.add.xml", env.scenario)
    run_program(_command(env.scenario, 0, tmp_path, []), tmp_path)
    ours, its = (
        {trip.get("id"): trip.get("speedFactor") for trip in read_output(tmp_path / name)}
        for name in ("env.xml", "trips.xml")
    )
    both = ours.keys() & its.keys()
    assert set(env.possible_agents) <= both
    assert [name for name in both if ours[name] != its[name]] == []


@pytest.fixture
def short_edge(tmp_path) -> RoadNetwork:
    """A ring in which one edge is so short that vehicles are over it within a second."""
    nodes = {"a": (0, 0), "b": (200, 0), "c": (200.6, 0), "d": (400, 0), "e": (200, 200)}
    return plain_network(tmp_path, nodes, ["ab", "bc", "cd", "de", "ea", "ce", "eb"])


def test_an_edge_that_is_left_in_the_second_in_which_it_was_entered_is_no_decision(short_edge):
    origin = short_edge.edge_index["ab"]
    trip = Trip("vehicle_0", int(short_edge.edge_from[origin]), short_edge.junction_index["d"], origin)
    env = RoutingEnv(Scenario("short", short_edge, (trip,), DEMANDS["none"], 300.0))
    (device,) = run_yardstick(env, "rerouting", [0])
    (own,) = run_yardstick(env, "free_flow", [0])
    assert [short_edge.edge_ids[edge] for edge in device["vehicle_0"].edges] == ["ab", "bc", "cd"]
    np.testing.assert_array_equal(device["vehicle_0"].decision_edges, own["vehicle_0"].decision_edges)
    assert device["vehicle_0"].total_reward == pytest.approx(device.mean_reward, abs=1e-3)
    assert device["vehicle_0"].total_reward == pytest.approx(own.mean_reward, abs=1e-3)


@pytest.mark.parametrize("seed", [-1, 1.5])
def test_seeds_are_those_of_any_episode(make_env, seed):
    with pytest.raises(RoutingError, match="a seed is"):
        run_yardstick(make_env(), "rerouting", [seed])


def test_unfinished_trips_are_counted(make_env):
    env = make_env(num_agents=6, horizon_s=20.0)
    (episode,) = run_yardstick(env, "rerouting", [0])
    (own,) = run_yardstick(env, "free_flow", [0])
    assert all(trajectory.exit == Exit.HORIZON for trajectory in episode)
    assert episode.mean_travel_time_s == own.mean_travel_time_s == 20.0
    assert episode.rewards.sum() == pytest.approx(sum(trajectory.total_reward for trajectory in episode), abs=1e-3)


def test_agents_without_room_are_counted(make_env):
    trip = make_env(num_agents=1).scenario.trips[0]
    crowd = tuple(type(trip)(f"vehicle_{k}", trip.origin, trip.destination, trip.origin_edge) for k in range(60))
    (episode,) = run_yardstick(make_env(trips=crowd, horizon_s=20.0), "rerouting", [0])
    assert episode.count(Exit.NOT_INSERTED) > 0
    assert len(episode.trajectories) == 60
    waiting = next(trajectory for trajectory in episode if trajectory.exit == Exit.NOT_INSERTED)
    assert waiting.departed_s is None
    assert waiting.edges.tolist() == [trip.origin_edge]
    assert episode.mean_travel_time_s == 20.0


def test_same_seed_same_episode_other_seed_another(make_env):
    env = make_env(demand="moderate", num_agents=5, horizon_s=600.0)
    one, same, other = run_yardstick(env, "rerouting", [1, 1, 2])
    np.testing.assert_array_equal(one.rewards, same.rewards)
    assert one.mean_reward != other.mean_reward


def test_who_has_left_earns_nothing(make_env):
    env = make_env(num_agents=4, reward=_OneEachStep())
    for driver in ("rerouting", "free_flow"):
        (episode,) = run_yardstick(env, driver, [0])
        begins_s = np.r_[0.0, episode.times_s[:-1]]
        for agent, trajectory in enumerate(episode):
            is_live = begins_s < trajectory.travel_time_s
            np.testing.assert_array_equal(episode.rewards[:, agent], is_live)


class _OneEachStep:
    def __call__(self, elapsed_s, approach_m, arrived):
        return np.ones_like(elapsed_s)


def test_sumo_options_that_are_no_outputs_hold_for_it_too(make_env, tmp_path):
    usual = make_env(demand="moderate")
    alike = make_env(demand="moderate", sumo_options=["--default.speeddev", "0", "--tripinfo-output", "trips.xml"])
    (one,), (other,) = run_yardstick(usual, "rerouting", [0]), run_yardstick(alike, "rerouting", [0])
    assert one.mean_travel_time_s != other.mean_travel_time_s


def test_times_are_those_of_sumos_own_output(make_env, tmp_path):
    env = make_env(num_agents=5, demand="moderate")
    (episode,) = run_yardstick(env, "rerouting", [0])
    assert episode.arrival_rate == 1.0
    write_traffic(tmp_path / "traffic.rou.xml", env.scenario, env.scenario.background(0), agents="rerouting")
    write_zones(tmp_path / "zones.add.xml", env.scenario)
    command = _command(env.scenario, 0, tmp_path, ["--fcd-output", "lanes.xml"])
    run_program([*command, "--fcd-output", "lanes.xml", "--fcd-output.attributes", "lane"], tmp_path)
    arrivals = {trip.get("id"): float(trip.get("arrival")) for trip in read_output(tmp_path / "trips.xml")}
    # The env is told of an arrival once its second is over.
    assert episode.times_s[-1] == max(arrivals[trip.agent] for trip in env.scenario.trips) + 1.0
    entered_s = {trip.agent: {} for trip in env.scenario.trips}
    for step in read_output(tmp_path / "lanes.xml"):
        for vehicle in step:
            edge = vehicle.get("lane").rsplit("_", 1)[0]
            if vehicle.get("id") in entered_s and edge[0] != ":":
                entered_s[vehicle.get("id")].setdefault(edge, float(step.get("time")) + 1.0)
    for trajectory in episode:
        assert trajectory.travel_time_s == arrivals[trajectory.agent]
        known = list(entered_s[trajectory.agent].values())[: len(trajectory.actions)]
        np.testing.assert_array_equal(trajectory.decision_times_s, known)


@pytest.mark.parametrize("horizon_s", range(20, 60, 3))
def test_any_horizon_will_do(make_env, horizon_s):
    (episode,) = run_yardstick(make_env(horizon_s=float(horizon_s)), "rerouting", [0])
    assert episode.times_s[-1] == horizon_s


def test_further_options_are_those_that_say_how_vehicles_drive():
    given = ["--default.speeddev", "-1", "--lateral-resolution=0.8", "--fcd-output", "a.xml", "--tripinfo", "b.xml"]
    given += ["--end", "100", "--additional-files=c/output/d.xml,e.xml", "--no-internal-links", "-a", "f.xml"]
    others, additional = further_options(given, ["--end", "5"])
    assert others == ["--default.speeddev", "-1", "--lateral-resolution", "0.8", "--no-internal-links"]
    assert additional == ["c/output/d.xml", "e.xml", "f.xml"]
    assert further_options(["--no-internal-links", "-a"], []) == (["--no-internal-links"], [])
    # SUMO takes a plus, too, and a letter's value without a blank.
    plus = ["+end=100", "+additional-files", "a.xml", "-ab.xml", "+a=c.xml", "+tripinfo-output=d.xml", "+scale", "0.5"]
    assert further_options(plus, ["--end"]) == (["--scale", "0.5"], ["a.xml", "b.xml", "c.xml"])


def test_additional_files_of_the_env_hold_for_it_too(make_env, tmp_path, monkeypatch):
    (tmp_path / "own.add.xml").write_text('<additional><rerouter id="r" edges="A0A1"/></additional>')
    monkeypatch.chdir(tmp_path)
    (episode,) = run_yardstick(make_env(sumo_options=["--additional-files", "own.add.xml"]), "rerouting", [0])
    assert episode.arrival_rate == 1.0
    with pytest.raises(SimulatorError, match=r"missing\.add\.xml"):
        run_yardstick(make_env(sumo_options=["--additional-files", "own.add.xml,missing.add.xml"]), "rerouting", [0])


def test_horizons_between_two_seconds_end_with_the_second(make_env):
    env = make_env(horizon_s=12.5)
    means = [run_yardstick(env, driver, [0])[0].mean_travel_time_s for driver in ("rerouting", "free_flow")]
    assert means == [13.0, 13.0]


def test_a_vehicle_counts_as_teleported_from_the_first_time_on():
    messages = """Warning: Teleporting vehicle 'vehicle_3'; waited too long (jam), lane='12#1_0', time=1434.00.
Warning: Vehicle 'vehicle_3' ends teleporting on edge '14', time=1440.00.
Warning: Teleporting vehicle 'vehicle_3'; waited too long (yield), lane='14_0', time=1800.00.
Warning: Teleporting vehicle 'vehicle_7'; waited too long (wrong lane), lane=':9_2_0', time=7
"""
    assert teleport_times(messages) == {"vehicle_3": 1435.0, "vehicle_7": 8.0}


@pytest.fixture
def outcome(make_env, grid, monkeypatch):
    """What becomes of one agent, and the junctions on its way, if SUMO writes what we say."""

    def drive(left_s, trip_info, messages="", depart_s=0.0):
        edges = ["A0A1", "A1A2", "A2A3", "A3B3"]
        passed = [int(grid.edge_from[grid.edge_index[edge]]) for edge in edges]
        first, last = grid.edge_index[edges[0]], grid.edge_index[edges[-1]]
        trip = Trip("vehicle_0", passed[0], int(grid.edge_to[last]), first, depart_s)
        route = f'edges="{" ".join(edges)}" exitTimes="{left_s}"'

        def sumo(command, folder):
            command = list(map(str, command))
            outputs = {
                "--tripinfo-output": f'<tripinfos><tripinfo id="{trip.agent}" {trip_info}/></tripinfos>',
                "--vehroute-output": f'<routes><vehicle id="{trip.agent}"><route {route}/></vehicle></routes>',
            }
            for option, text in outputs.items():
                Path(command[command.index(option) + 1]).write_text(text)
            return messages

        monkeypatch.setattr("sumo_marl_env.drivers.rerouting.run_program", sumo)
        (episode,) = run_yardstick(make_env(trips=(trip,)), "rerouting", [0])
        return episode[trip.agent], passed

    return drive


def test_a_teleported_vehicle_ends_on_the_edge_of_its_jam(outcome):
    says = "Warning: Teleporting vehicle 'vehicle_0'; waited too long (jam), lane='A0A1_0', time=309.00."
    # SUMO puts it on its next edge when it teleports it, and drives it on.
    drive, passed = outcome("8 309 330 -1", 'depart="0.00" arrival="420.00"', says)
    assert drive.exit == Exit.TELEPORTED
    assert drive.travel_time_s == 310.0
    assert drive.path() == tuple(passed[:2])


@pytest.mark.parametrize(("entered_s", "exit"), [(599, Exit.STUCK), (600, Exit.HORIZON)])
def test_a_vehicle_that_stands_on_one_edge_for_long_until_the_horizon_is_stuck(outcome, entered_s, exit):
    drive, passed = outcome(f"{entered_s} -1 -1 -1", 'depart="0.00" arrival="-1.00"')
    assert (drive.exit, drive.travel_time_s) == (exit, 900.0)
    assert drive.path() == tuple(passed[:2])


def test_time_before_the_departure_does_not_count(outcome, grid):
    drive, passed = outcome("120 140 160 180", 'depart="105.00" arrival="180.00"', depart_s=100.0)
    assert drive.travel_time_s == 80.0
    to_go_m = [grid.distance_m(junction, drive.trip.destination) for junction in passed]
    assert drive.rewards[:2] == pytest.approx([to_go_m[0] - to_go_m[1] - 21.0, to_go_m[1] - to_go_m[2] - 20.0])
    assert drive.total_reward == pytest.approx(to_go_m[0] - 80.0 + 90.0)
    np.testing.assert_array_equal(drive.decision_times_s, [106.0, 121.0, 141.0])


def test_any_seed_will_do(make_env):
    (episode,) = run_yardstick(make_env(num_agents=1), "rerouting", [2**31 + 5])
    assert episode.arrival_rate == 1.0
