"""How far a run has come, from its folder alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from rllib_releds.experiments.records import MetricsTable, RunFolder

SHOWN = ("interaction_steps_lifetime", "mean_reward", "mean_travel_time_s", "arrival_rate", "agent_weight")


def run_status(run: RunFolder) -> dict[str, Any]:
    """Returns run, epochs (finished ones), num_training_epochs, is_finished, demonstration_cycles, and the last epoch's
    figures where there is one."""
    epochs = run.finished_epochs()
    target = run.settings.num_training_epochs
    metrics = MetricsTable(run.path / "metrics.csv").read()
    last = {
        name: float(metrics[name][epochs - 1])
        for name in SHOWN
        if 0 < epochs <= len(metrics.get(name, ())) and np.isfinite(metrics[name][epochs - 1])
    }
    return {
        "run": str(run.path),
        "epochs": epochs,
        "num_training_epochs": target,
        "is_finished": epochs >= target,
        "demonstration_cycles": len(list(run.demonstrations.glob("cycle_*"))),
        **last,
    }
