import itertools

import numpy as np
import pytest
from helpers import random_action, run_episode

import sumo_marl_env
from sumo_marl_env import Exit
from sumo_marl_env.steering import Steering


@pytest.mark.parametrize("where", ["gridtown", "manhattan/manhattan.net.xml", "hong_kong_tsimshatsui/tsimshatsui.osm"])
def test_random_policy_loses_and_strands_nobody(where, real_map):
    """Random walks visit every awkward corner: short edges, wrong lanes, shared origins."""
    network = where if where == "gridtown" else real_map(where)
    env = sumo_marl_env.parallel_env(network=network, demand="moderate", num_agents=20)
    rng = np.random.default_rng(0)
    for seed in range(2):
        episode = run_episode(env, seed, lambda env, agent: random_action(env, agent, rng))
        for exit in (Exit.LOST, Exit.TELEPORTED, Exit.STUCK, Exit.NOT_INSERTED):
            assert episode.count(exit) == 0
        assert all(len(trajectory.junctions) > 10 for trajectory in episode if not trajectory.arrived)
    env.close()


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


@pytest.mark.parametrize(("town", "demand"), [("gridtown", "congested"), ("harbourtown", "moderate")])
def test_vehicles_that_are_looked_at_in_every_second_are_seen_to_do_nothing_else(town, demand, monkeypatch):
    def episode():
        env = sumo_marl_env.parallel_env(town, demand, num_agents=20, horizon_s=900.0, isolate=False)
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
