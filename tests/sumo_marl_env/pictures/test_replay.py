"""Recorded episodes, simulated again."""

import base64
import json
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest
from helpers import live_shortest_time, random_action, run_episode

from sumo_marl_env import Demand, Episode, EpisodeError, Exit, make_scenario
from sumo_marl_env.pictures.replay import recorded_scenario, simulate_again
from sumo_marl_env.pictures.replay_page import OSM_NOTICE, page
from sumo_marl_env.simulation.sumo import SumoSimulator


@pytest.fixture
def record(make_env, tmp_path):
    """A saved episode and its file. The env is closed, as it is for a user who comes later."""

    def make(policy=live_shortest_time, seed=5, **kwargs):
        env = make_env(**{"demand": "moderate", "num_agents": 4, **kwargs})
        episode = run_episode(env, seed, policy)
        env.close()
        episode.save(tmp_path / "episode.npz")
        return Episode.load(tmp_path / "episode.npz"), tmp_path / "episode.npz"

    return make


def wandering(seed):
    rng = np.random.default_rng(seed)
    return lambda env, agent: random_action(env, agent, rng)


def test_a_record_alone_brings_the_same_episode_back(record):
    episode, _ = record(wandering(0))
    replay = simulate_again(episode, recorded_scenario(episode))
    assert replay.differences == ()


def test_the_same_options_of_sumo_bring_the_same_episode_back(record, tmp_path, monkeypatch):
    trips, log = tmp_path / "trips.xml", tmp_path / "log.txt"
    (tmp_path / "slow.add.xml").write_text("<additional/>")
    monkeypatch.chdir(tmp_path)
    options = ["--default.speeddev", "0", "--tripinfo-output", str(trips), "--log", str(log), "-H", "true"]
    episode, _ = record(sumo_options=[*options, "--device.fcd.probability=0", "-a", "slow.add.xml"])
    assert episode.sumo_options == (*options[:2], "--additional-files", str(tmp_path / "slow.add.xml"))
    monkeypatch.chdir("/")
    written = trips.read_text()
    again = simulate_again(episode, recorded_scenario(episode))
    assert again.differences == ()
    assert {track.vehicle for track in again.tracks} >= {trajectory.agent for trajectory in episode}
    assert simulate_again(replace(episode, sumo_options=()), recorded_scenario(episode)).differences
    assert trips.read_text() == written


def test_tracks_show_agents_where_and_when_the_record_says(record):
    episode, _ = record()
    replay = simulate_again(episode, recorded_scenario(episode))
    network = replay.scenario.network
    for trajectory in episode:
        (track,) = [track for track in replay.tracks if track.vehicle == trajectory.agent]
        assert track.begin_s == trajectory.departed_s + 1
        assert track.begin_s + len(track.xy_m) == trajectory.travel_time_s + 1
        to_go_m = np.linalg.norm(track.xy_m[-1] - network.junction_xy[trajectory.trip.destination])
        assert to_go_m < 40.0
        for time_s, edge in zip(trajectory.decision_times_s, trajectory.edges, strict=False):
            here = track.xy_m[int(time_s) - track.begin_s]
            assert np.linalg.norm(network.edge_shapes[edge] - here, axis=1).min() < network.edge_length_m[edge] / 2 + 10
    assert any(track.vehicle.startswith("background_") for track in replay.tracks)


def test_a_moved_route_file_is_named_and_the_other_vehicles_stay(record, tmp_path):
    routes = tmp_path / "buses.rou.xml"
    routes.write_text('<routes><trip id="bus" depart="0" from="A0A1" to="C2C3"/></routes>')
    episode, _ = record(demand=Demand("mix", 60, route_file=routes))
    moved = routes.rename(tmp_path / "moved.rou.xml")
    with pytest.raises(EpisodeError, match=r"replay` can be told .* by --network and --demand"):
        recorded_scenario(episode)
    assert simulate_again(episode, recorded_scenario(episode, demand=str(moved))).differences == ()


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}'])
def test_a_damaged_scenario_in_a_record_is_told(record, text):
    episode, _ = record()
    with pytest.raises(EpisodeError, match="the scenario in this record is damaged"):
        recorded_scenario(replace(episode, scenario_json=text))


def test_an_unfinished_record_ends_where_it_ended(make_env):
    env = make_env(demand="moderate")
    env.reset(seed=1)
    for _ in range(2):
        env.step({agent: live_shortest_time(env, agent) for agent in env.deciders})
    episode = env.episode()
    assert {t.agent for t in episode if t.exit == Exit.UNDER_WAY} == set(env.agents) != set()
    # While the first env is still alive.
    replay = simulate_again(episode, recorded_scenario(episode))
    assert replay.differences == ()
    assert max(track.begin_s + len(track.xy_m) - 1 for track in replay.tracks) == episode.times_s[-1]


def test_other_traffic_is_noticed(record):
    episode, _ = record()
    scenario = recorded_scenario(episode)
    others = replace(scenario, demand=replace(scenario.demand, num_vehicles=200, max_load=0.0))
    assert re.fullmatch(r"vehicle_\d: .*", simulate_again(episode, others).differences[0])


def test_what_was_chosen_is_replayed_and_not_what_was_executed_in_its_place(make_env, monkeypatch):
    """A vehicle in the wrong lane is sent elsewhere long after it chose. That is rare, so here lanes lie."""
    env = make_env(demand="moderate", num_agents=10)
    edges = env.network.edge_index

    def only_one_exit(simulator, vehicle, waiting_s, within_m):
        edge = edges.get(simulator.road(vehicle))
        return None if edge is None else (env.network.edge_ids[env.network.successors[edge][0]],)

    monkeypatch.setattr(SumoSimulator, "lane_exits_when_blocked", only_one_exit)
    episode = run_episode(env, 0, wandering(0))
    env.close()
    assert not all(np.array_equal(trajectory.actions, trajectory.chosen_actions) for trajectory in episode)
    assert simulate_again(episode, recorded_scenario(episode)).differences == ()


def test_the_step_in_which_sumo_died_is_left_out(record):
    episode, _ = record()
    died = tuple(replace(t, exit=Exit.SIMULATOR_FAILED) for t in episode)
    replay = simulate_again(replace(episode, trajectories=died), recorded_scenario(episode))
    assert max(track.begin_s + len(track.xy_m) - 1 for track in replay.tracks) <= episode.times_s[-2]


def test_a_record_of_the_first_release_names_the_option(record):
    episode, file = record()
    with np.load(file) as data:
        arrays = {name: data[name] for name in data if "chosen_actions" not in name and name != "header"}
        header = json.loads(str(data["header"]))
    del header["scenario_json"]
    np.savez(file, header=json.dumps(header), **arrays)
    old = Episode.load(file)
    with pytest.raises(EpisodeError, match="--scenario"):
        recorded_scenario(old)
    trips = tuple(t.trip for t in old)
    scenario = make_scenario(network=recorded_scenario(episode).network, trips=trips, horizon_s=900.0)
    assert simulate_again(old, scenario).differences == ()


def test_another_scenario_is_refused(record):
    episode, _ = record()
    with pytest.raises(EpisodeError, match="not those of the episode"):
        simulate_again(episode, make_scenario("gridtown"))


def test_a_record_whose_map_has_gone_says_so(record):
    episode, _ = record()
    gone = episode.scenario_json.replace("grid.net.xml", "gone.net.xml")
    with pytest.raises(EpisodeError, match=r"no such network file: .*gone\.net\.xml.*--network"):
        recorded_scenario(replace(episode, scenario_json=gone))


def test_what_is_no_episode_is_refused(tmp_path):
    with pytest.raises(EpisodeError, match="no such episode file"):
        Episode.load(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    for name in ("text.npz", "other.npz"):
        with pytest.raises(EpisodeError, match="not an episode"):
            Episode.load(tmp_path / name)


def test_the_page_needs_nothing_from_elsewhere_and_no_name_can_break_it(record):
    episode, _ = record(horizon_s=60.0)
    named = replace(episode, scenario="</script><b>morning {{data}}")
    text = page(simulate_again(named, recorded_scenario(episode)))
    assert not re.search(r"https?://|src=|@import|url\(", text)
    assert text.count("</script>") == 2
    assert "<b>" not in text
    assert len(text) < 200_000


def test_a_page_of_an_openstreetmap_extract_carries_its_notice(record, make_env):
    episode, _ = record(horizon_s=60.0)
    replay = simulate_again(episode, recorded_scenario(episode))
    assert OSM_NOTICE not in page(replay)
    network = replace(replay.scenario.network, edge_types=("highway.primary",) * replay.scenario.network.num_edges)
    assert OSM_NOTICE in page(replace(replay, scenario=replace(replay.scenario, network=network)))


@pytest.mark.parametrize("scale", [1e-12, 1.0 / 3600.0, 1.0, 1e12])
def test_rewards_of_any_size_are_on_the_page(record, scale):
    episode, _ = record()
    small = replace(episode, rewards=episode.rewards * scale)
    text = page(simulate_again(small, recorded_scenario(small)))
    rewards = json.loads(re.search(r'"rewards":(\{.*?\})', text)[1])
    steps = np.frombuffer(zlib.decompress(base64.b64decode(rewards["steps"])), "<i4").reshape(4, -1)
    expected = np.cumsum(small.rewards, axis=0, dtype=np.float64).T
    assert np.cumsum(steps, axis=1) * rewards["unit"] == pytest.approx(expected, abs=1e-3 * np.abs(expected).max())


def test_rewards_that_are_no_numbers_are_told(record):
    episode, _ = record()
    odd = replace(episode, rewards=episode.rewards * np.nan)
    with pytest.raises(EpisodeError, match="not finite"):
        page(simulate_again(odd, recorded_scenario(odd)))


def test_decisions_that_do_not_fit_are_noticed(record):
    episode, _ = record()
    first, *others = episode
    wrong = replace(first, chosen_actions=np.full(len(first.actions), 99))
    replay = simulate_again(replace(episode, trajectories=(wrong, *others)), recorded_scenario(episode))
    assert replay.differences[0].startswith("vehicle_0: ")
