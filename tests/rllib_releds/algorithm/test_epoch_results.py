"""What an epoch reports, from made-up episodes."""

from types import SimpleNamespace

import numpy as np
import pytest
from street_grid import grid_network

from rllib_releds import keys
from rllib_releds.algorithm.results import cycle_results, episode_results, first_distance_results, path_distances
from rllib_releds.demonstrations.feedback import CycleFeedback
from rllib_releds.demonstrations.routing_domain import ROUTING
from rllib_releds.demonstrations.stationarity import SubsetFeedback
from rllib_releds.weighting import mean_path_distance

NETWORK = grid_network()
ALONG, ACROSS, AROUND = (0, 1, 2, 3), (0, 4, 8, 12), (0, 4, 5, 6, 7, 3)


def trip(agent: str, path, reward: float = 0.0, travel_time_s: float = 0.0, arrived: bool = True) -> SimpleNamespace:
    return SimpleNamespace(
        agent=agent, path=lambda: path, total_reward=reward, travel_time_s=travel_time_s, arrived=arrived
    )


def own(*paths) -> SimpleNamespace:
    """An agent episode with the path of each agent."""
    trajectories = [trip(f"vehicle_{agent}", path) for agent, path in enumerate(paths)]
    return SimpleNamespace(episode=SimpleNamespace(trajectories=trajectories))


def expert(*rows) -> SimpleNamespace:
    return SimpleNamespace(training_rows=lambda: [(index, trip(f"vehicle_{index}", path)) for index, path in rows])


def test_each_agent_is_compared_with_its_own_demonstration_over_all_its_episodes():
    episodes = [own(ACROSS, ALONG, ALONG), own(ACROSS, AROUND, ALONG)]
    distances = path_distances(ROUTING, NETWORK, episodes, [expert((1, ALONG)), expert((0, AROUND))], 7.0)
    assert distances == {
        "vehicle_1": mean_path_distance(ROUTING, NETWORK, [ALONG, AROUND], ALONG, 7.0),
        "vehicle_0": mean_path_distance(ROUTING, NETWORK, [ACROSS, ACROSS], AROUND, 7.0),
    }
    assert 0.0 < distances["vehicle_1"].raw_m < distances["vehicle_0"].raw_m


def test_paths_are_compared_with_the_same_agents_first_one():
    paths = {"vehicle_1": AROUND, "vehicle_0": ACROSS}
    cycle = SimpleNamespace(feedback=SimpleNamespace(demonstrated_paths=paths))
    apart_m = mean_path_distance(ROUTING, NETWORK, [ALONG], AROUND).raw_m
    moved = first_distance_results(ROUTING, NETWORK, {"vehicle_0": ACROSS, "vehicle_1": ALONG}, cycle)
    assert moved == {keys.DTW_TO_FIRST_M: pytest.approx(apart_m / 2)}
    alone = first_distance_results(ROUTING, NETWORK, {"vehicle_1": ALONG}, cycle)
    assert alone == {keys.DTW_TO_FIRST_M: pytest.approx(apart_m)}
    assert first_distance_results(ROUTING, NETWORK, {}, cycle) == {}


def test_subsets_are_numbered_as_they_were_rolled_out_though_feedback_has_the_worst_first():
    def subset(agent: str, size: float) -> SubsetFeedback:
        worst, better = (SimpleNamespace(reward=part * size, divergence=part * size / 10) for part in (1.0, 0.5))
        return SubsetFeedback((agent,), 0.0, 2, (better, worst), (worst, better), 100.0 * size)

    feedback = CycleFeedback(0, 0, (), (subset("vehicle_1", 8.0), subset("vehicle_0", 4.0)))
    rollouts = [SimpleNamespace(agents=(agent,)) for agent in ("vehicle_0", "vehicle_1")]
    figures = cycle_results(SimpleNamespace(feedback=feedback, subset_rollouts=rollouts))
    assert figures[keys.REWARD_VOLATILITY_PER_SUBSET] == {"0": 4.0, "1": 8.0}
    assert figures[keys.POLICY_DIVERGENCE_PER_SUBSET] == {"0": 0.4, "1": 0.8}
    assert figures[keys.NONSTATIONARITY_BOUND_PER_SUBSET] == {"0": 400.0, "1": 800.0}


def test_figures_of_each_agent_are_means_over_its_episodes():
    class Made(SimpleNamespace):
        def __iter__(self):
            return iter(self.trajectories)

    def episode(*trips) -> Made:
        return Made(
            trajectories=trips,
            mean_reward=np.mean([one.total_reward for one in trips]),
            mean_travel_time_s=np.mean([one.travel_time_s for one in trips]),
            arrival_rate=np.mean([one.arrived for one in trips]),
        )

    figures = episode_results(
        [
            episode(trip("vehicle_0", (), 10.0, 100.0), trip("vehicle_1", (), 20.0, 200.0)),
            episode(trip("vehicle_0", (), 30.0, 500.0), trip("vehicle_1", (), 60.0, 900.0, arrived=False)),
        ]
    )
    assert figures[keys.MEAN_REWARD] == 30.0
    assert figures[keys.MEAN_REWARD_PER_AGENT] == {"vehicle_0": 20.0, "vehicle_1": 40.0}
    assert figures[keys.MEAN_TRAVEL_TIME_S_PER_AGENT] == {"vehicle_0": 300.0, "vehicle_1": 550.0}
    assert figures[keys.ARRIVAL_RATE_PER_AGENT] == {"vehicle_0": 1.0, "vehicle_1": 0.5}
