"""What every trial of a search reported, epoch by epoch, kept by the driver."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray import tune
from rich.console import Console

from rllib_releds import keys
from rllib_releds.experiments.display import figures_line
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.runner import flatten

LINE_EVERY_S = 30.0
"""Between two lines about the same trial."""


class TrialRecords(tune.Callback):
    """Writes one table per trial, and a line now and then.

    Tune's own result files repeat epochs after a restart; here an epoch that is trained again replaces the old row,
    and those after it.

    Args:
        folder: of the tables.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last_line_s: dict[str, float] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without the clock: Tune pickles its callbacks for a restore."""
        return {**self.__dict__, "_last_line_s": {}}

    def read(self, trial: str) -> dict[str, NDArray[np.float64]]:
        """Columns by name, each (epochs,) float64, NaN where empty; no columns before the first epoch."""
        return self._table(trial).read()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        row = flatten(result[keys.RELED])
        self.folder.mkdir(parents=True, exist_ok=True)
        table = self._table(str(trial))
        table.truncate(int(row[keys.EPOCH]))
        table.append(row)
        if time.monotonic() - self._last_line_s.get(str(trial), -np.inf) >= LINE_EVERY_S:
            self._last_line_s[str(trial)] = time.monotonic()
            _print(f"{trial}  epoch {int(row[keys.EPOCH]) + 1}  {figures_line(row)}")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        ended = sum(one.is_finished() or one is trial for one in trials)
        _print(f"{trial}  ended; {ended} of {len(trials)} trials")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        _print(f"{trial}  FAILED")

    def _table(self, trial: str) -> MetricsTable:
        return MetricsTable(self.folder / f"{trial}.csv")


def _print(line: str) -> None:
    Console(stderr=True).out(line, highlight=False)
