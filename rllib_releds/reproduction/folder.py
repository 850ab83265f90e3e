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

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from rllib_releds import keys
from rllib_releds.errors import RunError, last_line
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder
from rllib_releds.reproduction.results import TABLE_III_FILE, read_result, read_table_three
from rllib_releds.reproduction.trial import Trial, TrialResult, Yardsticks

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
        return self.path / TABLE_III_FILE

    def log_file(self, name: str) -> Path:
        """Of a trial, "yardsticks_SETTING" or "demonstrations"."""
        return self.path / "logs" / f"{name}.log"

    def error_file(self, name: str) -> Path:
        """Why it failed the last time."""
        return self.path / "logs" / f"{name}.error"

    def has_results(self) -> bool:
        """Whether any trial has finished, or Table III is there."""
        return self.demonstrations_file.is_file() or any((self.path / "trials").glob("*/result.json"))

    def yardsticks(self, setting: str) -> Yardsticks | None:
        """Those of the setting, if they are there; raises RunError if they cannot be read."""
        file = self.yardsticks_file(setting)
        return read_result(file, Yardsticks) if file.is_file() else None

    def has_demonstrations(self, model: str, refinements: int, runs: int) -> bool:
        """Whether Table III was made with this model, that many refinements and that many runs, or more.

        Raises:
            RunError: if it is another model's, or cannot be read.
        """
        rows = read_table_three(self.demonstrations_file)
        models = list(dict.fromkeys(row["model"] for row in rows))
        if rows and model not in models:
            raise RunError(
                f"{self.demonstrations_file} is of {', '.join(models)}, and {model} is asked for; "
                f"give --llm {models[0]}, or another --out"
            )
        return any(row["model"] == model and row["refinements"] >= refinements and row["runs"] >= runs for row in rows)

    def result(self, trial: Trial) -> TrialResult:
        """Of a finished trial; raises RunError if it cannot be read."""
        return read_result(self.result_file(trial), TrialResult)

    def state(self, trial: Trial) -> TrialState:
        """How far it is; what cannot be read of one trial is its error, and stops no other."""
        run, error = self.run(trial), self.error_file(trial.name)
        is_done = self.result_file(trial).is_file()
        reason = last_line(error.read_text()) if error.is_file() else None
        finished, walls = trial.num_epochs if is_done else 0, np.zeros(0)
        try:
            walls = MetricsTable(run.path / "metrics.csv").read().get(keys.EPOCH_WALL_S, walls)
            if not is_done:
                finished = run.finished_epochs()
        except RunError as unreadable:
            reason = str(unreadable)
        return TrialState(
            trial=trial,
            status="done" if is_done else "part done" if finished else "to do",
            finished_epochs=finished,
            seconds_per_epoch=float(np.median(walls)) if len(walls) else None,
            error=None if is_done else reason,
        )


def refuse_another_page(folder: Path) -> None:
    """Raises RunError if a README.md lies there that is no page of a reproduction, and would be overwritten."""
    if (folder / "README.md").exists() and not (folder / "results.json").is_file():
        raise RunError(f"{folder} has a README.md that is of no reproduction; give another folder")


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
    if all(state.status == "done" for state in states):
        return 0.0
    speeds = [
        (state.trial, state.seconds_per_epoch / state.trial.interaction_steps_per_epoch)
        for state in states
        if state.seconds_per_epoch is not None
    ]
    if not speeds:
        return None
    left_s = [0.0]
    for state in states:
        trial = state.trial
        if state.status == "done":
            continue
        own = [s for t, s in speeds if (t.setting, t.method) == (trial.setting, trial.method)]
        near = [s for t, s in speeds if t.setting == trial.setting]
        steps = (trial.num_epochs - state.finished_epochs) * trial.interaction_steps_per_epoch
        left_s.append(steps * median(own or near or [s for _, s in speeds]))
    # One trial cannot be split.
    return max(sum(left_s) / jobs, max(left_s))


def duration(seconds: float) -> str:
    """As h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))
