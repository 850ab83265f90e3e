from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from pettingzoo.utils.conversions import parallel_to_aec
from street_grid import grid_network

from sumo_marl_env import (
    AgentTrajectory,
    Episode,
    Exit,
    Navigator,
    ScenarioError,
    ShortestPaths,
    Trip,
    numeric_infos,
    to_fixed_team,
)
from sumo_marl_env.drivers.yardsticks import (
    QUICK_YARDSTICKS,
    YARDSTICKS,
    FreeFlowDriver,
    LiveDriver,
    RandomDriver,
    run_yardstick,
    summary,
    yardstick_names,
)

KEYS = {
    "episodes",
    "mean_reward",
    "mean_travel_time_s",
    "arrival_rate",
    "lost",
    "teleported",
    "stuck",
    "simulator_failed",
}


@pytest.mark.parametrize("name", QUICK_YARDSTICKS)
def test_gives_one_complete_episode_per_seed(make_env, name):
    env = make_env()
    episodes = run_yardstick(env, name, [4, 7])
    assert [episode.seed for episode in episodes] == [4, 7]
    assert not env.agents
    assert all(trajectory.exit in (Exit.ARRIVED, Exit.HORIZON) for episode in episodes for trajectory in episode)


@pytest.mark.parametrize("name", ["free_flow", "live", "rerouting"])
def test_drivers_with_a_map_arrive(make_env, name):
    assert summary(run_yardstick(make_env(), name, [0]))["arrival_rate"] == 1.0


def test_free_flow_beats_random(make_env):
    env = make_env()
    random, free_flow = (summary(run_yardstick(env, name, range(2))) for name in ("random", "free_flow"))
    assert free_flow["mean_travel_time_s"] < random["mean_travel_time_s"]
    assert free_flow["mean_reward"] > random["mean_reward"]


def test_same_seed_gives_the_same_random_drive(make_env):
    env = make_env(demand="moderate", horizon_s=300.0)
    first, second = run_yardstick(env, "random", [3, 3])
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.actions, other.actions)


def test_progress_hears_of_every_episode(make_env):
    heard = []
    episodes = run_yardstick(make_env(), "free_flow", [1, 2], lambda done, episode: heard.append((done, episode)))
    assert heard == [(1, episodes[0]), (2, episodes[1])]


def test_any_object_that_drives_is_a_policy(make_env):
    class FirstValid:
        def begin(self, env, seed):
            self.seed = seed

        def act(self, env, agent):
            return int(np.flatnonzero(env.action_mask(agent))[0])

    driver = FirstValid()
    run_yardstick(make_env(horizon_s=120.0), driver, [9])
    assert driver.seed == 9


@pytest.mark.parametrize("name", ["live", "rerouting"])
@pytest.mark.parametrize("view", [to_fixed_team, numeric_infos, parallel_to_aec])
def test_views_of_an_env_give_the_episodes_of_the_env(make_env, view, name):
    env = make_env()
    (expected,), (given,) = run_yardstick(env, name, [2]), run_yardstick(view(env), name, [2])
    np.testing.assert_array_equal(given.rewards, expected.rewards)
    assert given.arrival_rate == 1.0


def test_what_is_no_env_of_this_package_is_refused():
    with pytest.raises(TypeError, match="what parallel_env returns, not SimpleNamespace"):
        run_yardstick(SimpleNamespace(agents=[]), "live", [0])


def test_unknown_yardstick_is_named_with_the_known_ones(make_env):
    with pytest.raises(ScenarioError, match=r"'fastest'.*random, free_flow, live"):
        run_yardstick(make_env(), "fastest", [0])


@pytest.mark.parametrize("policy", [RandomDriver, None, 3])
def test_what_drives_nobody_is_refused_in_words(make_env, policy):
    with pytest.raises(ScenarioError, match="drives nobody; give a name of YARDSTICKS, or an instance of a Driver"):
        run_yardstick(make_env(), policy, [0])


def test_summary_has_the_keys_of_every_evaluation(make_env):
    episodes = run_yardstick(make_env(), "free_flow", [0, 1])
    figures = summary(episodes)
    assert set(figures) == KEYS
    assert figures["episodes"] == 2
    assert figures["mean_reward"] == pytest.approx(np.mean([t.total_reward for e in episodes for t in e]))


def test_summary_of_nothing_is_an_error():
    with pytest.raises(ScenarioError, match="no episodes"):
        summary([])


def test_yardsticks_are_chosen_by_their_names():
    assert yardstick_names("live, random") == ("live", "random")
    assert yardstick_names("all") == tuple(YARDSTICKS)
    assert yardstick_names("none") == ()
    with pytest.raises(ScenarioError, match="unknown yardstick 'lvie'; choose random, free_flow"):
        yardstick_names("random, lvie")


def test_summary_counts_by_why_agents_left():
    exits = [Exit.LOST, *[Exit.TELEPORTED] * 2, *[Exit.STUCK] * 3, *[Exit.NOT_INSERTED] * 4, *[Exit.HORIZON] * 5]
    exits += [Exit.SIMULATOR_FAILED] * 6 + [Exit.ARRIVED] * 7

    def episode(exits):
        trips = [
            AgentTrajectory(
                trip=Trip(f"vehicle_{number}", 0, 1, 0),
                observations=np.zeros((0, 4)),
                action_masks=np.zeros((0, 1)),
                actions=np.zeros(0),
                rewards=np.zeros(0),
                decision_steps=np.zeros(0),
                decision_times_s=np.zeros(0),
                junctions=np.array([0]),
                exit=exit,
                travel_time_s=10.0 * number,
            )
            for number, exit in enumerate(exits)
        ]
        return Episode("made up", 0, tuple(trips), np.ones((1, len(trips))), np.ones(1))

    figures = summary([episode(exits), episode([Exit.ARRIVED, Exit.LOST])])
    counted = {name: figures[name] for name in ("lost", "teleported", "stuck", "simulator_failed")}
    assert counted == {"lost": 2, "teleported": 2, "stuck": 7, "simulator_failed": 6}
    assert figures["arrival_rate"] == pytest.approx((7 / 28 + 1 / 2) / 2)
    assert figures["mean_travel_time_s"] == pytest.approx((135.0 + 5.0) / 2)


def test_free_flow_knows_how_fast_empty_roads_are_and_live_what_they_take_now():
    network = grid_network()
    speeds = network.edge_speed_mps.copy()
    speeds[network.edge_index["1to2"]] /= 4.0
    network = replace(network, edge_speed_mps=speeds)
    trip = Trip("vehicle_0", 0, 2, network.edge_index["0to1"])
    now_s = network.free_flow_time_s.copy()
    live_paths = {"empty": ShortestPaths(network, now_s)}
    now_s[network.edge_index["1to5"]] = 500.0
    live_paths["jam"] = ShortestPaths(network, now_s)

    def taken(driver, traffic: str) -> int:
        """The junction after the next one."""
        seen = SimpleNamespace(live_paths=live_paths[traffic], current_edge=lambda agent: trip.origin_edge)
        env = SimpleNamespace(network=network, navigator=lambda agent: Navigator(network, trip, seen))
        driver.begin(env, 0)
        return int(network.edge_to[network.outgoing[1][driver.act(env, "vehicle_0")]])

    # Three roads round the slow one take 30 s, and it takes 40.
    assert [taken(FreeFlowDriver(), traffic) for traffic in ("empty", "jam")] == [5, 5]
    assert [taken(LiveDriver(), traffic) for traffic in ("empty", "jam")] == [5, 2]
