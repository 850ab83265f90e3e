"""One training of the paper's length: RELED on gridtown with moderate traffic, 5e5 interaction steps.

    python benchmarks/paper_run.py [--steps 500000] [--env-runners 2] [--method RELED] [--json]

The bar: at most 15 minutes on two cores. A shorter run tells what the whole would take: its remaining epochs count as
the median of the last quarter of those that were trained, since agents that have learnt drive shorter episodes.
Checkpoints, metrics and demonstrations are written as in a trial of `reled reproduce`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from rllib_releds import keys
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.runner import train_quietly
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.local_ray import ray_session

PAPER_STEPS = 500_000
STEPS_PER_EPOCH = 1000
CHECKPOINT_INTERVAL = 10
BAR_MINUTES = 15.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=PAPER_STEPS, help="interaction steps (default: 500000)")
    parser.add_argument("--env-runners", type=int, default=2, help="processes that sample; 0: this one (default: 2)")
    parser.add_argument("--method", default="RELED", help="default: RELED")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    settings = TrainSettings(
        scenario="gridtown",
        demand="moderate",
        num_agents=10,
        method=options.method,
        num_training_epochs=max(1, options.steps // STEPS_PER_EPOCH),
        interaction_steps_per_epoch=STEPS_PER_EPOCH,
        num_env_runners=options.env_runners,
    )
    figures = measure(settings)
    stream = sys.stderr if options.json else sys.stdout
    for name, value in figures.items():
        print(f"{name:32} {value:.2f}" if isinstance(value, float) else f"{name:32} {value}", file=stream)
    print(f"bar: 5e5 interaction steps in at most {BAR_MINUTES:.0f} minutes", file=stream)
    if options.json:
        print(json.dumps(figures))


def measure(settings: TrainSettings) -> dict[str, Any]:
    """Train, and tell where the time went."""
    ends: list[float] = []

    def on_epoch(finished: int, row: Mapping[str, float]) -> None:
        ends.append(time.perf_counter())
        if finished % 50 == 0:
            print(f"epoch {finished}, reward {row[keys.MEAN_REWARD]:.0f}", file=sys.stderr)

    with tempfile.TemporaryDirectory() as folder, ray_session(settings.num_env_runners + 1):
        run = RunFolder.create(Path(folder) / "run", settings)
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        train_quietly(run, on_epoch, checkpoint_interval=CHECKPOINT_INTERVAL)
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        metrics = MetricsTable(run.path / "metrics.csv").read()
    epochs_s = [after - before for before, after in zip([began_s, *ends], ends, strict=False)]
    remaining = PAPER_STEPS // STEPS_PER_EPOCH - len(ends)
    late_s = median(epochs_s[-max(1, len(epochs_s) // 4) :])
    sumo_s = float(metrics[keys.SIMULATION_WALL_S].sum())
    if keys.EXPERT_SIMULATION_WALL_S in metrics:
        sumo_s += float(metrics[keys.EXPERT_SIMULATION_WALL_S].sum())
    return {
        "method": settings.method,
        "env runners": settings.num_env_runners,
        "epochs": len(ends),
        "wall minutes": wall_s / 60.0,
        "CPU minutes of this process": cpu_s / 60.0,
        "seconds per epoch, late": late_s,
        "wall share of SUMO": sumo_s / (wall_s * max(1, settings.num_env_runners)),
        "minutes for 5e5 steps": (wall_s + remaining * late_s) / 60.0,
        "final reward": float(metrics[keys.MEAN_REWARD][-1]),
    }


if __name__ == "__main__":
    main()
