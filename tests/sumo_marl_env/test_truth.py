"""What the env says of a trip is what SUMO itself says of it, and every agent's end has its reason."""

import logging
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
import sumolib
from helpers import live_shortest_time, random_action, run_episode

from sumo_marl_env import Exit, SimulatorError, Trip, run_yardstick, summary
from sumo_marl_env.simulation.foresight import Foresight


def agents_rows(path, tag):
    """SUMO's rows of the agents, by id."""
    rows = ET.parse(path).getroot().findall(tag)
    return {row.get("id"): row for row in rows if row.get("id").startswith("vehicle_")}


@pytest.fixture(params=[False, True], ids=["in_process", "isolated"])
def isolate(request):
    return request.param


def test_trips_equal_what_sumo_writes_about_them(make_env, tmp_path, isolate):
    trips = make_env(num_agents=8).scenario.trips
    # Some depart later, and two from one edge at once, so that one has to wait for room.
    late = [Trip(t.agent, t.origin, t.destination, t.origin_edge, 30.0 * k) for k, t in enumerate(trips[:6])]
    shared = Trip("vehicle_6", trips[0].origin, trips[0].destination, trips[0].origin_edge, 0.0)
    options = ["--tripinfo-output", tmp_path / "trips.xml", "--vehroute-output", tmp_path / "routes.xml"]
    env = make_env(
        trips=(*late, shared), demand="moderate", isolate=isolate, sumo_options=[*map(str, options)], horizon_s=2400.0
    )
    episode = run_episode(env, 5, live_shortest_time)
    infos = {agent: env.info(agent) for agent in env.possible_agents}
    network = env.network
    env.close()

    assert episode.arrival_rate == 1.0
    trip_rows, route_rows = (
        agents_rows(tmp_path / "trips.xml", "tripinfo"),
        agents_rows(tmp_path / "routes.xml", "vehicle"),
    )
    sumo_net = sumolib.net.readNet(str(network.net_file), withInternal=True)
    delays = []
    for trajectory in episode:
        row, info = trip_rows[trajectory.agent], infos[trajectory.agent]
        depart_s, delay_s = float(row.get("depart")), float(row.get("departDelay"))
        delays.append(delay_s)
        assert trajectory.departed_s == info["departed_s"] == depart_s
        assert trajectory.trip.depart_s == depart_s - delay_s
        assert trajectory.trip.depart_s + trajectory.travel_time_s == float(row.get("arrival"))
        assert trajectory.travel_time_s == info["travel_time_s"] == float(row.get("duration")) + delay_s
        driven = route_rows[trajectory.agent].findall(".//route")[-1].get("edges").split()
        assert [network.edge_ids[edge] for edge in trajectory.edges] == driven
        assert len(trajectory.path()) == len(driven) + 1
        # SUMO counts the metres inside junctions, and begins and ends at positions within edges.
        unused_m = (
            float(row.get("departPos")) + network.edge_length_m[trajectory.edges[-1]] - float(row.get("arrivalPos"))
        )
        on_edges_m = network.edge_length_m[trajectory.edges].sum() - unused_m
        inside = [inside_m(sumo_net, *pair) for pair in pairwise(driven)]
        low, high = (on_edges_m + sum(bound(lengths) for lengths in inside) for bound in (min, max))
        assert low - 0.01 * len(driven) <= float(row.get("routeLength")) <= high + 0.01 * len(driven)
    assert max(delays) > 0.0


def inside_m(sumo_net, edge, following):
    """Lengths of the ways through the junction from one edge to the next, one per pair of lanes."""
    lengths = []
    for connection in sumo_net.getEdge(edge).getConnections(sumo_net.getEdge(following)):
        length, lane = 0.0, connection.getViaLaneID()
        while lane:
            length += sumo_net.getLane(lane).getLength()
            # A way with a stop in the middle of the junction has two parts.
            (onward,) = sumo_net.getLane(lane).getOutgoing()
            lane = onward.getViaLaneID()
        lengths.append(length)
    return lengths


def test_return_is_what_sumo_says_of_the_trip(make_env, tmp_path):
    env = make_env(demand="moderate", sumo_options=["--tripinfo-output", str(tmp_path / "trips.xml")])
    episode = run_episode(env, 2, live_shortest_time)
    env.close()
    rows = agents_rows(tmp_path / "trips.xml", "tripinfo")
    for trajectory in episode:
        duration_s = float(rows[trajectory.agent].get("duration")) + float(rows[trajectory.agent].get("departDelay"))
        approached_m = env.network.distance_m(trajectory.trip.origin, trajectory.trip.destination)
        assert trajectory.total_reward == pytest.approx(approached_m - duration_s + 90.0, abs=1e-2)


def ends(env):
    """The last info of every agent."""
    last = {}
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    while env.agents:
        *_, infos = env.step({agent: random_action(env, agent, rng) for agent in env.deciders})
        last.update(infos)
    return last


def test_every_agent_leaves_with_a_reason_and_a_time(make_env, isolate):
    # So many from one edge that some never find room.
    trip = make_env().scenario.trips[0]
    trips = tuple(Trip(f"vehicle_{k}", trip.origin, trip.destination, trip.origin_edge) for k in range(40))
    env = make_env(trips=trips, horizon_s=70.0, isolate=isolate)
    last = ends(env)
    assert set(last) == set(env.possible_agents)
    assert {info["exit"] for info in last.values()} <= {str(exit) for exit in Exit}
    assert {info["exit"] for info in last.values()} >= {"horizon", "not_inserted"}
    assert all((info["departed_s"] is None) == (info["exit"] == "not_inserted") for info in last.values())
    # Who never came to a decision waited all the same, and that is what the trip was worth.
    episode = env.episode()
    for index, trajectory in enumerate(episode):
        assert trajectory.total_reward == pytest.approx(float(episode.rewards[:, index].sum()), abs=1e-2)
        assert len(trajectory.actions) or trajectory.total_reward < 0.0
    assert all(info["travel_time_s"] == 70.0 for info in last.values() if info["exit"] != "arrived")


def test_teleport_and_removal_on_the_way_are_told_apart(make_env, monkeypatch):
    env = make_env(isolate=False)
    env.reset(seed=0)
    simulator = env._steering.simulator
    monkeypatch.setattr(simulator, "teleporting", lambda: ["vehicle_0"])
    # Gone from wherever its route ends now, which is not its destination.
    ends = {vehicle.trip.agent: env.network.edge_to[vehicle.route[-1]] for vehicle in env._steering.vehicles}
    gone = next(t.agent for t in env.scenario.trips if ends[t.agent] != t.destination and t.agent != "vehicle_0")
    monkeypatch.setattr(simulator, "arrived", lambda: [gone])
    # Wherever it is sent, its route stays as it is.
    monkeypatch.setattr(env._steering, "_take", lambda vehicle, choice: None)
    *_, truncated, infos = env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})
    assert infos["vehicle_0"]["exit"] == "teleported"
    assert infos[gone]["exit"] == "lost"
    assert truncated["vehicle_0"]
    assert truncated[gone]


def test_who_is_taken_out_of_a_jam_on_the_last_edge_has_not_arrived(make_env, tmp_path, isolate):
    """SUMO counts it among both: there is no further edge on which it could go on."""
    stop = '<stop lane="A1A2_0" endPos="100" duration="2000"/>'
    path = tmp_path / "broken_down.rou.xml"
    path.write_text(f'<routes><vehicle id="lorry" depart="0"><route edges="A1A2"/>{stop}</vehicle></routes>')
    network = make_env().network
    before, last = network.edge_index["A0A1"], network.edge_index["A1A2"]
    trip = Trip("vehicle_0", int(network.edge_from[before]), int(network.edge_to[last]), before, 5.0)
    env = make_env(demand=str(path), trips=[trip], isolate=isolate)
    episode = run_episode(env, 0, lambda env, agent: env.network.slot(before, last))
    (jammed,) = episode
    assert (jammed.exit, jammed.edges.tolist()) == (Exit.TELEPORTED, [before, last])
    assert jammed.total_reward < 0.0
    (by_the_device,) = run_yardstick(env, "rerouting", [0])
    assert by_the_device.count(Exit.TELEPORTED) == 1


def test_unfinished_trips_count_in_every_mean(make_env):
    whole = run_episode(make_env(demand="moderate", num_agents=6), 0, live_shortest_time)
    times = sorted(trajectory.travel_time_s for trajectory in whole)
    horizon_s = np.floor((times[2] + times[3]) / 2)
    cut = run_episode(make_env(demand="moderate", num_agents=6, horizon_s=horizon_s), 0, live_shortest_time)
    arrived = [trajectory.travel_time_s for trajectory in cut if trajectory.arrived]
    assert 0 < len(arrived) < 6
    assert sum(cut.count(exit) for exit in Exit) == 6
    assert cut.mean_travel_time_s == pytest.approx((sum(arrived) + (6 - len(arrived)) * horizon_s) / 6)
    assert summary([whole, cut])["mean_travel_time_s"] == pytest.approx(
        (whole.mean_travel_time_s + cut.mean_travel_time_s) / 2
    )
    assert summary([whole, cut])["arrival_rate"] == pytest.approx((6 + len(arrived)) / 12)


def test_failures_of_the_simulator_are_counted_and_logged(make_env, monkeypatch, caplog):
    env = make_env(isolate=False)
    env.reset(seed=0)

    def fail(until_s):
        raise SimulatorError("SUMO stopped: out of petrol")

    monkeypatch.setattr(env._steering.simulator, "step", fail)
    with caplog.at_level(logging.WARNING):
        env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})
    assert "out of petrol" in caplog.text
    assert summary([env.episode()])["simulator_failed"] == 3


def test_options_that_sumo_refuses_are_named(make_env):
    with pytest.raises(SimulatorError, match="no-such-option"):
        make_env(sumo_options=["--no-such-option", "1"]).reset(seed=0)
    configurations = ("--configuration", "--configuration-file", "-c")
    endings = ("--save-configuration", "--help", "-V", "--remote-port")
    others = ("--random", "--max-depart-delay", "--mesosim", "--scale", "--random-depart-offset", "--load-state")
    set_already = ("--seed", "--net-file", "-n", "--time-to-teleport")
    for option in ("--step-length", "--begin", "-b", *configurations, *others, *set_already, *endings):
        with pytest.raises(SimulatorError, match=f"must leave {option} alone"):
            make_env(sumo_options=[f"{option}=0.5"])


def test_arrivals_are_noticed_where_an_additional_file_lets_vehicles_drive_faster_than_the_map_says(make_env, tmp_path):
    network = make_env().network
    signs = [
        f'<variableSpeedSign id="{edge}" lanes="{edge}_0"><step time="0" speed="40"/></variableSpeedSign>'
        for edge in network.edge_ids
    ]
    (tmp_path / "fast.add.xml").write_text(f"<additional>{''.join(signs)}</additional>")
    options = ["--additional-files", str(tmp_path / "fast.add.xml"), "--tripinfo-output", str(tmp_path / "trips.xml")]
    env = make_env(num_agents=8, sumo_options=options)
    (episode,) = run_yardstick(env, "free_flow", [1])
    env.close()
    rows = agents_rows(tmp_path / "trips.xml", "tripinfo")
    for trajectory in episode:
        assert trajectory.trip.depart_s + trajectory.travel_time_s == float(rows[trajectory.agent].get("arrival"))
    (usual,) = run_yardstick(make_env(num_agents=8), "free_flow", [1])
    assert episode.mean_travel_time_s < usual.mean_travel_time_s


def test_letters_in_one_are_refused_because_a_refused_one_may_hide_among_them(make_env):
    for options in (["-vb", "100"], ["-vb100"], ["-Wr", "own.rou.xml"]):
        with pytest.raises(SimulatorError, match=f"give each letter of {options[0]} as an option of its own"):
            make_env(sumo_options=options)


def test_entries_are_noticed_where_drivers_react_every_few_seconds(make_env, tmp_path, monkeypatch):
    options = ["--default.action-step-length", "3"]
    (tmp_path / "slow.add.xml").write_text(
        '<additional><vType id="DEFAULT_VEHTYPE" actionStepLength="3"/></additional>'
    )
    for given in (options, ["-a", str(tmp_path / "slow.add.xml")]):
        env = make_env(demand="moderate", num_agents=4, sumo_options=given)
        (episode,) = run_yardstick(env, "free_flow", [1])
        env.close()
        with monkeypatch.context() as patched:
            patched.setattr(Foresight, "seconds_on_edge", lambda *_: 1)
            patched.setattr(Foresight, "seconds_to_end", lambda *_: 1)
            (expected,) = run_yardstick(make_env(demand="moderate", num_agents=4, sumo_options=given), "free_flow", [1])
        assert np.array_equal(episode.rewards, expected.rewards)
        assert [t.decision_times_s.tolist() for t in episode] == [t.decision_times_s.tolist() for t in expected]


@pytest.mark.parametrize("option", ["--route-files", "--routes", "-r", "+r", "+route-files", "-rown.rou.xml"])
def test_traffic_by_sumo_options_is_refused_because_it_is_the_demand(make_env, option):
    with pytest.raises(SimulatorError, match=r"background traffic is the demand: give demand=FILE\.rou\.xml"):
        make_env(sumo_options=[option, "own.rou.xml"])
