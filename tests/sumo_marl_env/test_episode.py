import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from helpers import live_shortest_time, random_action, run_episode

import sumo_marl_env
from sumo_marl_env import Demand, Episode, EpisodeError, Trip, load_network, make_scenario


def test_round_trip_keeps_everything(make_env, tmp_path):
    episode = run_episode(make_env(), 0, live_shortest_time)
    episode.save(tmp_path / "episode.npz")
    loaded = Episode.load(tmp_path / "episode.npz")
    assert (loaded.scenario, loaded.seed) == (episode.scenario, episode.seed)
    assert np.array_equal(loaded.rewards, episode.rewards)
    for ours, theirs in zip(loaded, episode, strict=True):
        assert ours.trip == theirs.trip
        assert ours.exit == theirs.exit
        assert ours.travel_time_s == theirs.travel_time_s
        for name in ("observations", "action_masks", "actions", "rewards", "decision_steps", "junctions"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))


def test_a_record_lies_where_it_was_told_to(make_env, tmp_path):
    episode = run_episode(make_env(), 0, live_shortest_time)
    episode.save(tmp_path / "record")
    assert Episode.load(tmp_path / "record").seed == 0


@pytest.mark.parametrize("again", [lambda record: pickle.loads(pickle.dumps(record)), copy.deepcopy])
def test_a_copy_of_a_record_is_as_read_only(make_env, again):
    episode = again(run_episode(make_env(), 0, live_shortest_time))
    assert not episode.rewards.flags.writeable
    assert not any(trajectory.actions.flags.writeable for trajectory in episode)


def test_a_record_that_cannot_be_written_leaves_the_one_before(make_env, tmp_path):
    path = tmp_path / "episode.npz"
    episode = run_episode(make_env(), 0, live_shortest_time)
    episode.save(path)
    content = path.read_bytes()
    with pytest.raises(TypeError):
        replace(episode, seed=object()).save(path)
    assert path.read_bytes() == content


def test_a_damaged_record_is_named(make_env, tmp_path):
    path = tmp_path / "episode.npz"
    run_episode(make_env(), 0, live_shortest_time).save(path)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for place in rng.integers(len(content), size=200).tolist():
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        refused += is_refused(path)
    # Of some bytes nothing depends on the value.
    assert refused > 100


def is_refused(path) -> bool:
    try:
        Episode.load(path)
    except EpisodeError:
        return True
    return False


def test_rewards_of_decisions_add_up_to_rewards_of_steps(make_env):
    episode = run_episode(make_env(demand="moderate"), 0, live_shortest_time)
    for index, trajectory in enumerate(episode):
        assert trajectory.total_reward == pytest.approx(float(episode.rewards[:, index].sum()), abs=1e-2)


def test_a_caller_that_changes_the_rewards_of_a_step_does_not_change_the_record(make_env):
    env = make_env()
    expected = run_episode(env, 0, live_shortest_time)
    env.begin(0)
    while env.agents:
        env.advance({agent: live_shortest_time(env, agent) for agent in env.deciders})[:] = 1e6
    assert np.array_equal(env.episode().rewards, expected.rewards)


def test_unknown_agent_is_named(make_env):
    episode = run_episode(make_env(), 0, live_shortest_time)
    with pytest.raises(KeyError, match="vehicle_99"):
        episode["vehicle_99"]


def test_shapes_are_checked(make_env):
    episode = run_episode(make_env(), 0, live_shortest_time)
    with pytest.raises(ValueError, match="rewards has shape"):
        Episode("test", 0, episode.trajectories[:1], episode.rewards, episode.times_s)


def test_an_episode_of_a_scenario_with_numpys_numbers_is_saved(make_env, grid, tmp_path):
    edge = np.int32(0)
    destination = next(j for j in range(grid.num_junctions) if j not in (grid.edge_from[0], grid.edge_to[0]))
    trip = Trip("vehicle_0", grid.edge_from[edge], np.int64(destination), edge, np.float32(3.0))
    env = make_env(trips=[trip], horizon_s=np.float32(600), demand=Demand("some", np.int64(5)))
    episode = run_episode(env, np.int64(3), live_shortest_time)
    episode.save(tmp_path / "episode.npz")
    assert Episode.load(tmp_path / "episode.npz")["vehicle_0"].travel_time_s == episode["vehicle_0"].travel_time_s
    env.scenario.save(tmp_path / "scenario.json")
    assert make_scenario(tmp_path / "scenario.json").trips == env.scenario.trips


def test_each_decision_knows_its_edge_also_where_edges_are_crossed_between_two_looks(real_map):
    network = load_network(real_map("hong_kong_tsimshatsui/tsimshatsui.osm"))
    env = sumo_marl_env.parallel_env(network=network, demand="moderate", num_agents=10)
    rng = np.random.default_rng(0)
    episode = run_episode(env, 0, lambda env, agent: random_action(env, agent, rng))
    env.close()
    for trajectory in episode:
        ahead = network.edge_to[trajectory.edges[trajectory.decision_edges]]
        assert ahead.tolist() == trajectory.observations[:, 0].astype(int).tolist()
    assert any(len(one.edges) > len(one.actions) + 1 for one in episode), "no edge was crossed unseen"
