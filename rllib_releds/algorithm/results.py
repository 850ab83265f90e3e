"""What an epoch reports, as pure functions of its episodes (names in `rllib_releds.keys`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rllib_releds import keys
from rllib_releds.algorithm.cycles import Cycle
from rllib_releds.algorithm.rollouts import Rollout
from rllib_releds.demonstrations.domain import Domain
from rllib_releds.weighting import PathDistance, mean_distance_m, mean_path_distance
from sumo_marl_env import AgentID, Episode, NodeID, RoadNetwork


def episode_results(episodes: Sequence[Episode]) -> dict[str, Any]:
    """Mean reward, travel time and arrival rate: over agents and episodes, and of each agent over episodes."""
    trips = {own[0].agent: own for own in zip(*episodes, strict=True)}
    return {
        keys.MEAN_REWARD: float(np.mean([episode.mean_reward for episode in episodes])),
        keys.MEAN_TRAVEL_TIME_S: float(np.mean([episode.mean_travel_time_s for episode in episodes])),
        keys.ARRIVAL_RATE: float(np.mean([episode.arrival_rate for episode in episodes])),
        keys.MEAN_REWARD_PER_AGENT: {
            agent: float(np.mean([trip.total_reward for trip in own])) for agent, own in trips.items()
        },
        keys.MEAN_TRAVEL_TIME_S_PER_AGENT: {
            agent: float(np.mean([trip.travel_time_s for trip in own])) for agent, own in trips.items()
        },
        keys.ARRIVAL_RATE_PER_AGENT: {
            agent: float(np.mean([trip.arrived for trip in own])) for agent, own in trips.items()
        },
    }


def path_distances(
    domain: Domain,
    network: RoadNetwork,
    agent_rollouts: Sequence[Rollout],
    expert_rollouts: Sequence[Rollout],
    dtw_scale: float,
) -> dict[AgentID, PathDistance]:
    """D_DTW of each agent that has a demonstration and a path of its own."""
    distances = {}
    for rollout in expert_rollouts:
        for index, expert in rollout.training_rows():
            paths = [agent_rollout.episode.trajectories[index].path() for agent_rollout in agent_rollouts]
            distance = mean_path_distance(domain, network, paths, expert.path(), dtw_scale)
            if distance is not None:
                distances[expert.agent] = distance
    return distances


def weight_results(weights: Mapping[AgentID, float], distances: Mapping[AgentID, PathDistance]) -> dict[str, Any]:
    """The agent weights of Eq. 30, and the distances they come from."""
    results: dict[str, Any] = {
        keys.AGENT_WEIGHT: float(np.mean(list(weights.values()))),
        keys.AGENT_WEIGHT_PER_AGENT: dict(weights),
    }
    if distances:
        results[keys.DTW_M] = float(np.mean([distance.raw_m for distance in distances.values()]))
        results[keys.DTW_NORMALISED] = float(np.mean([distance.normalised for distance in distances.values()]))
    return results


def first_distance_results(
    domain: Domain, network: RoadNetwork, first_paths: Mapping[AgentID, Sequence[NodeID]], cycle: Cycle
) -> dict[str, Any]:
    """How far the paths of a cycle are from each agent's first demonstration that worked."""
    moved_m = mean_distance_m(domain, network, first_paths, cycle.feedback.demonstrated_paths)
    return {} if moved_m is None else {keys.DTW_TO_FIRST_M: moved_m}


def cycle_results(cycle: Cycle) -> dict[str, Any]:
    """The demonstrations of a cycle: what they earned, what they did to the other agents, and what was kept."""
    by_agents = {frozenset(subset.agents): subset for subset in cycle.feedback.subsets}
    subsets = {str(index): by_agents[frozenset(rollout.agents)] for index, rollout in enumerate(cycle.subset_rollouts)}
    return {
        **cycle.feedback.metrics(),
        keys.REWARD_VOLATILITY_PER_SUBSET: {
            index: max((pair.reward for pair in subset.volatility), default=0.0) for index, subset in subsets.items()
        },
        keys.POLICY_DIVERGENCE_PER_SUBSET: {
            index: max((pair.divergence for pair in subset.divergence), default=0.0)
            for index, subset in subsets.items()
        },
        keys.NONSTATIONARITY_BOUND_PER_SUBSET: {
            index: subset.nonstationarity_bound for index, subset in subsets.items()
        },
    }
