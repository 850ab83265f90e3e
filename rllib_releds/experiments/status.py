"""How far a run has come, from its folder alone."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from rllib_releds import keys
from rllib_releds.errors import RunError, reason
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder

SHOWN = (
    keys.DEMONSTRATION_CYCLES,
    keys.INTERACTION_STEPS_LIFETIME,
    keys.MEAN_REWARD,
    keys.MEAN_TRAVEL_TIME_S,
    keys.ARRIVAL_RATE,
    keys.AGENT_WEIGHT,
)


def run_status(run: RunFolder) -> dict[str, Any]:
    """Returns run, state ("training", "stopped" or "finished"), epochs (finished ones), num_training_epochs,
    is_finished, demonstration_cycles, if some of them brought nothing their number and the last reason, and the last
    epoch's figures where there is one.

    Raises:
        RunError: if a file of the run is damaged.
    """
    epochs = run.finished_epochs()
    target = run.settings.num_training_epochs
    metrics = MetricsTable(run.path / "metrics.csv").read()
    # By its number, because a damaged line may have been removed.
    rows = np.flatnonzero(np.asarray(metrics.get("epoch", ())) == epochs - 1)
    last = {
        name: float(metrics[name][row])
        for name in SHOWN
        for row in rows[-1:]
        if name in metrics and np.isfinite(metrics[name][row])
    }
    failures = _failures(run)
    failed = {"failed_demonstration_cycles": len(failures), "last_failure": failures[-1]} if failures else {}
    return {
        "run": str(run.path),
        "state": "training" if run.is_being_trained() else "finished" if epochs >= target else "stopped",
        "epochs": epochs,
        "num_training_epochs": target,
        "is_finished": epochs >= target,
        keys.DEMONSTRATION_CYCLES: int(last.pop(keys.DEMONSTRATION_CYCLES, 0)),
        **failed,
        **last,
    }


def _failures(run: RunFolder) -> list[str]:
    """Why demonstration cycles brought nothing."""
    if not run.failures.is_file():
        return []
    try:
        return [failure["reason"] for failure in json.loads(run.failures.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, LookupError) as error:
        raise RunError(f"{run.failures} cannot be read ({reason(error)}). Remove it; it only tells.") from error
