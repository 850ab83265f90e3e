"""What a run ends with: one table against the yardsticks, and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from rllib_releds import keys
from rllib_releds.errors import going_on
from rllib_releds.experiments.evaluation import EVALUATION_SEED, PolicyDriver, drive, load_module
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.trained_scenario import trained_scenario
from rllib_releds.files import whole_file, write_json
from rllib_releds.plots import needs_matplotlib
from sumo_marl_env import AgentTrajectory, Driver, Episode, summary

YARDSTICK_LABELS = {
    "random": "random policy",
    "free_flow": "free-flow shortest path",
    "live": "live shortest time",
}
REPORT_EPISODES = 10

Summaries = dict[str, dict[str, Any]]


def measure(run: RunFolder) -> Summaries:
    """Yardsticks, the untrained, the best and the newest policies on the same seeds; stored as report.json.

    The best are those that `--best` of `evaluate` and `export` takes: a last update may have led an agent astray.

    Returns:
        The keys of `sumo_marl_env.summary` by row of the table.

    Raises:
        RunError: if the run has no finished checkpoint, or one of these is damaged.
    """
    (finished, newest), (best, best_kept) = run.latest_checkpoint(), run.best_checkpoint()
    method = run.settings.label
    scenario = trained_scenario(run)
    checkpoints = {f"{method} at epoch 0": run.checkpoint(0)} if run.checkpoint(0).is_dir() else {}
    if best not in (0, finished):
        checkpoints[f"{method} at epoch {best} (--best)"] = best_kept
    checkpoints[f"{method} at epoch {finished}"] = newest
    drivers: dict[str, str | Driver] = {label: name for name, label in YARDSTICK_LABELS.items()}
    for label, checkpoint in checkpoints.items():
        drivers[label] = PolicyDriver(load_module(checkpoint).sampling_policies(), scenario.agents)
    seeds = range(EVALUATION_SEED, EVALUATION_SEED + REPORT_EPISODES)
    results = drive({"scenario": scenario}, drivers, seeds)
    summaries = {label: summary(played) for label, played in results.items()}
    write_json(run.path / "report.json", summaries)
    return summaries


def report_table(run: RunFolder, summaries: Mapping[str, Mapping[str, Any]]) -> Table:
    """The summaries as the table that training ends with."""
    scenario = trained_scenario(run)
    episodes = next(iter(summaries.values()))["episodes"]
    table = Table(title=f"{scenario.name}, {len(scenario.trips)} agents, {episodes} equal seeds")
    table.add_column("policy")
    for heading in ("mean reward", "mean travel time (s)", "arrival rate"):
        table.add_column(heading, justify="right")
    for label, figures in summaries.items():
        table.add_row(
            label,
            f"{figures['mean_reward']:.1f}",
            f"{figures['mean_travel_time_s']:.1f}",
            f"{figures['arrival_rate']:.1%}",
        )
    return table


def draw_figures(run: RunFolder, summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Learning curve, DTW and agent_weight, and the map with routes, as PNG files in the run folder.

    Args:
        run: the run.
        summaries: of `measure`.

    Returns:
        Paths of the files, relative to the run folder.

    Raises:
        RunError: if Matplotlib is not installed.
    """
    with needs_matplotlib(f"`{going_on(run.path)}`, which trains a finished run no further"):
        from rllib_releds.plots.curves import dtw_and_weight, learning_curve
        from rllib_releds.plots.maps import routes_map

    metrics = MetricsTable(run.path / "metrics.csv").read()
    figures = {}
    if has_values(metrics, keys.MEAN_REWARD):
        labels = [label for name, label in YARDSTICK_LABELS.items() if name != "random"]
        yardsticks = {label: summaries[label] for label in labels if label in summaries}
        figures["learning_curve"] = learning_curve(metrics, yardsticks)
    if has_values(metrics, keys.DTW_M):
        figures["dtw_and_weight"] = dtw_and_weight(metrics)
    network = trained_scenario(run).network
    figures["routes"] = routes_map(network, *recent_trajectories(run))
    for name, figure in figures.items():
        with whole_file(run.figures / f"{name}.png") as file:
            figure.savefig(file, dpi=130)
    return [f"figures/{name}.png" for name in figures]


def has_values(metrics: Mapping[str, NDArray[np.float64]], column: str) -> bool:
    return column in metrics and bool(np.isfinite(metrics[column]).any())


def recent_trajectories(run: RunFolder) -> tuple[list[AgentTrajectory], list[AgentTrajectory]]:
    """Trajectories of the last stored agent episodes, and of the demonstrated agents in the expert episodes."""
    agents = [t for path in sorted(run.episodes.glob("agent_*.npz")) for t in Episode.load(path)]
    experts = []
    for path in sorted(run.episodes.glob("expert_*.npz")):
        demonstrated = json.loads(path.with_suffix(".json").read_text())["demonstrated"]
        experts += [trajectory for trajectory in Episode.load(path) if trajectory.agent in demonstrated]
    return agents, experts
