"""What came out of a finished run: evaluations on fresh seeds, its learning curve, and where vehicles drove."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rllib_releds import keys
from rllib_releds.experiments.evaluation import EVALUATION_SEED, PolicyDriver, drive, load_newest
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.report import recent_trajectories
from rllib_releds.experiments.trained_scenario import trained_scenario
from rllib_releds.reproduction.trial import Curve, Evaluation, Trial, TrialResult
from sumo_marl_env import AgentTrajectory, Driver, Scenario


def trial_result(trial: Trial, run: RunFolder, episodes: int) -> TrialResult:
    """What came out of a finished run.

    Args:
        trial: which it is.
        run: its folder.
        episodes: background seeds to evaluate the final policies on, once greedily and once drawn.
    """
    _, module = load_newest(run)
    policies = module.sampling_policies()
    scenario = trained_scenario(run)
    drivers: dict[str, str | Driver] = {
        "greedy": PolicyDriver(policies, scenario.agents, is_greedy=True),
        "sampled": PolicyDriver(policies, scenario.agents),
    }
    evaluations = evaluate(scenario, drivers, episodes)
    metrics = MetricsTable(run.path / "metrics.csv").read()
    simulation_s = metrics[keys.SIMULATION_WALL_S] + metrics.get(keys.EXPERT_SIMULATION_WALL_S, 0.0)
    agents, experts = recent_trajectories(run)
    edge_ids = scenario.network.edge_ids
    return TrialResult(
        trial=trial,
        scenario_sha256=scenario.fingerprint,
        demonstrator=run.settings.demonstrator,
        curve=curve_of(metrics),
        greedy=evaluations["greedy"],
        sampled=evaluations["sampled"],
        wall_s=float(metrics[keys.EPOCH_WALL_S].sum()),
        simulation_wall_s=float(simulation_s.sum()),
        agent_edge_counts=edge_counts(agents, edge_ids),
        expert_edge_counts=edge_counts(experts, edge_ids),
        versions=json.loads((run.path / "versions.json").read_text()),
    )


def evaluate(scenario: Scenario, drivers: Mapping[str, str | Driver], episodes: int) -> dict[str, Evaluation]:
    """Each driver on the same fresh background seeds, by its name."""
    seeds = range(EVALUATION_SEED, EVALUATION_SEED + episodes)
    return {
        name: Evaluation(
            seeds=tuple(episode.seed for episode in played),
            rewards=tuple(episode.mean_reward for episode in played),
            travel_times_s=tuple(episode.mean_travel_time_s for episode in played),
            arrival_rates=tuple(episode.arrival_rate for episode in played),
        )
        for name, played in drive({"scenario": scenario}, drivers, seeds).items()
    }


def curve_of(metrics: Mapping[str, np.ndarray]) -> Curve:
    """The columns of metrics.csv that curves are drawn from."""

    def column(name: str) -> tuple[float | None, ...]:
        values = metrics.get(name, np.full(len(metrics[keys.EPOCH]), np.nan))
        return tuple(float(value) if np.isfinite(value) else None for value in values)

    return Curve(
        interaction_steps=tuple(metrics[keys.INTERACTION_STEPS_LIFETIME]),
        expert_interaction_steps=column(keys.EXPERT_STEPS_LIFETIME),
        rewards=tuple(metrics[keys.MEAN_REWARD]),
        travel_times_s=tuple(metrics[keys.MEAN_TRAVEL_TIME_S]),
        arrival_rates=tuple(metrics[keys.ARRIVAL_RATE]),
        wall_s=tuple(np.cumsum(metrics[keys.EPOCH_WALL_S])),
        dtw_m=column(keys.DTW_M),
        expert_rewards=column(keys.EXPERT_REWARD),
        agent_weights=column(keys.AGENT_WEIGHT),
        epochs=(1,) * len(metrics[keys.EPOCH]),
    )


def edge_counts(trajectories: Iterable[AgentTrajectory], edge_ids: Sequence[str]) -> dict[str, int]:
    """{edge id: how often the trajectories entered it}, in the order of the network."""
    counts = Counter(int(edge) for trajectory in trajectories for edge in trajectory.edges)
    return {edge_ids[edge]: counts[edge] for edge in sorted(counts)}
