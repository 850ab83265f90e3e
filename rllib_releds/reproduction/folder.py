"""The folder of a reproduction: one run folder per trial, the yardsticks per setting, and how far all that is.

OUT/
  trials/NAME/           a run folder (`reled status`, `resume` and `evaluate` take it), and
    result.json          what came out; where it is, the trial is finished and is not repeated
  yardsticks/SETTING.json
  demonstrations/        Table III: table.json, and one folder per variant (`reled demos list`)
  logs/                  what each printed (.log), and why it failed (.error), until it succeeds

Reading it needs neither Ray nor torch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from rllib_releds import keys
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder
from rllib_releds.reproduction.trial import Trial, Yardsticks

Status = Literal["done", "part done", "to do"]


@dataclass(frozen=True)
class TrialState:
    """How far a trial is.

    Attributes:
        trial: which.
        status: "done" with a result, "part done" with a checkpoint.
        finished_epochs: safe on disk.
        seconds_per_epoch: wall seconds, median over what was trained; None before the first epoch.
        error: why it failed the last time, in its last line; None if it did not.
    """

    trial: Trial
    status: Status
    finished_epochs: int
    seconds_per_epoch: float | None
    error: str | None


class ReproductionFolder:
    """Reads one such folder.

    Args:
        path: the folder; it need not exist.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()

    def run(self, trial: Trial) -> RunFolder:
        """The trial's run folder, which need not exist."""
        return RunFolder(self.path / "trials" / trial.name)

    def result_file(self, trial: Trial) -> Path:
        return self.run(trial).path / "result.json"

    def yardsticks_file(self, setting: str) -> Path:
        return self.path / "yardsticks" / f"{setting}.json"

    @property
    def demonstrations_file(self) -> Path:
        return self.path / "demonstrations" / "table.json"

    def log_file(self, name: str) -> Path:
        """Of a trial, "yardsticks_SETTING" or "demonstrations"."""
        return self.path / "logs" / f"{name}.log"

    def error_file(self, name: str) -> Path:
        """Why it failed the last time."""
        return self.path / "logs" / f"{name}.error"

    def has_results(self) -> bool:
        """Whether any trial has finished."""
        return any((self.path / "trials").glob("*/result.json"))

    def has_yardsticks(self, setting: str, episodes: int) -> bool:
        """Whether the yardsticks were measured on that many seeds, or more."""
        file = self.yardsticks_file(setting)
        if not file.is_file():
            return False
        drivers = Yardsticks.model_validate_json(file.read_text()).drivers
        return all(len(evaluation.seeds) >= episodes for evaluation in drivers.values())

    def has_demonstrations(self, refinements: int) -> bool:
        """Whether Table III was made with that many refinements, or more."""
        file = self.demonstrations_file
        return file.is_file() and any(
            row["refinements"] >= refinements for row in json.loads(file.read_text(encoding="utf-8"))["rows"]
        )

    def state(self, trial: Trial) -> TrialState:
        run = self.run(trial)
        finished = run.finished_epochs()
        is_done = self.result_file(trial).is_file()
        walls = MetricsTable(run.path / "metrics.csv").read().get(keys.EPOCH_WALL_S, np.zeros(0))
        error = self.error_file(trial.name)
        return TrialState(
            trial=trial,
            status="done" if is_done else "part done" if finished else "to do",
            finished_epochs=finished,
            seconds_per_epoch=float(np.median(walls)) if len(walls) else None,
            error=last_line(error.read_text()) if error.is_file() and not is_done else None,
        )


def last_line(text: str) -> str:
    """The end of a traceback: what went wrong."""
    return text.strip().rsplit("\n", 1)[-1]


def remaining_seconds(states: Sequence[TrialState], jobs: int) -> float | None:
    """Wall seconds until all trials are trained, from the speed of those that have begun.

    A trial that has not begun takes as long per interaction step as the most similar ones: same method and setting,
    else same setting, else all.

    Args:
        states: of the trials asked for.
        jobs: trials side by side.

    Returns:
        None if nothing was trained yet.
    """
    speeds = [
        (state.trial, state.seconds_per_epoch / state.trial.interaction_steps_per_epoch)
        for state in states
        if state.seconds_per_epoch is not None
    ]
    if not speeds:
        return None
    total_s = 0.0
    for state in states:
        trial = state.trial
        if state.status == "done":
            continue
        own = [s for t, s in speeds if (t.setting, t.method) == (trial.setting, trial.method)]
        near = [s for t, s in speeds if t.setting == trial.setting]
        steps = (trial.num_epochs - state.finished_epochs) * trial.interaction_steps_per_epoch
        total_s += steps * median(own or near or [s for _, s in speeds])
    return total_s / jobs


def duration(seconds: float) -> str:
    """As h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))
