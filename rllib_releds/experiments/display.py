"""What `reled train` shows while it trains: a live view on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import timedelta

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rllib_releds import keys
from rllib_releds.experiments.metrics_table import MetricsTable
from rllib_releds.experiments.records import RunFolder

BARS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 30
TIMED_EPOCHS = 20
"""The last epochs, from which the remaining time is estimated."""

FIGURES = (
    ("reward", keys.MEAN_REWARD, "{:.0f}"),
    ("travel time", keys.MEAN_TRAVEL_TIME_S, "{:.0f} s"),
    ("arrived", keys.ARRIVAL_RATE, "{:.0%}"),
    ("agent weight", keys.AGENT_WEIGHT, "{:.2f}"),
)
PARTS = {timer.removesuffix("_s"): timer for timer in keys.TIMERS}


class EpochDisplay:
    """Progress of a training run.

    Args:
        console: where to show it.
        total: epochs to train.
        finished: epochs already behind.
        title: what is trained.
        history: columns of metrics.csv, of which the finished epochs count.
        yardsticks: figures of simple drivers by label, as in report.json.
    """

    LINE_EVERY_S = 10.0

    def __init__(
        self,
        console: Console,
        total: int,
        finished: int,
        *,
        title: str = "",
        history: Mapping[str, Iterable[float]] | None = None,
        yardsticks: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self._console = console
        self._total = total
        self._finished = finished
        self._title = title
        self._yardsticks = yardsticks or {}
        self._curves = {key: list((history or {}).get(key, ()))[:finished] for _, key, _ in FIGURES}
        self._row: Mapping[str, float] = {}
        self._last_line_s = 0.0
        self._began_s = self._last_shown_s = time.monotonic()
        self._durations_s: deque[float] = deque(maxlen=TIMED_EPOCHS)
        self._live = Live(self, console=console, refresh_per_second=2) if console.is_terminal else None

    @classmethod
    def of(cls, run: RunFolder, console: Console) -> EpochDisplay:
        """The display of a run, with what is known of it from before."""
        summaries = run.report()
        settings = run.settings
        return cls(
            console,
            settings.num_training_epochs,
            run.finished_epochs(),
            title=f"{settings.label} on {settings.network or settings.scenario}",
            history=MetricsTable(run.path / "metrics.csv").read(),
            # The policies of earlier epochs are in the report too.
            yardsticks={name: figures for name, figures in summaries.items() if " at epoch " not in name},
        )

    def __enter__(self) -> EpochDisplay:
        self._began_s = self._last_shown_s = time.monotonic()
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, finished: int, row: Mapping[str, float]) -> None:
        """Show a finished epoch.

        Args:
            finished: epochs behind.
            row: of metrics.csv.
        """
        now_s = time.monotonic()
        self._durations_s.append(now_s - self._last_shown_s)
        self._last_shown_s = now_s
        self._finished, self._row = finished, row
        for key, curve in self._curves.items():
            if key in row:
                curve.append(row[key])
        if self._live:
            self._live.refresh()
        elif now_s - self._last_line_s >= self.LINE_EVERY_S or finished == self._total:
            self._last_line_s = now_s
            self._console.out(f"epoch {finished}/{self._total}  {figures_line(row)}", highlight=False)

    def __rich__(self) -> Group:
        """The live view."""
        table = Table.grid(padding=(0, 2))
        for name, key, form in FIGURES:
            if key in self._row:
                table.add_row(
                    name, form.format(self._row[key]), sparkline(self._curves[key]), self._compared(key, form)
                )
        lines: list[Text | Table] = [self._progress(), table]
        if self._row:
            lines += [Text(line) for line in (parts_line(self._row), demonstrations_line(self._row)) if line]
        return Group(*lines)

    def _progress(self) -> Table:
        line = Table.grid(padding=(0, 2))
        elapsed = f"{timedelta(seconds=round(time.monotonic() - self._began_s))} passed"
        left = f"about {timedelta(seconds=round(self._left_s()))} left" if self._durations_s else "building"
        bar = ProgressBar(total=self._total, completed=self._finished, width=CURVE_WIDTH)
        line.add_row(self._title, f"epoch {self._finished}/{self._total}", bar, elapsed, left)
        return line

    def _left_s(self) -> float:
        return float(np.median(self._durations_s)) * (self._total - self._finished)

    def _compared(self, key: str, form: str) -> str:
        """The same figure of the yardsticks, where it is known; metrics and reports have the same names."""
        known = [f"{label} {form.format(row[key])}" for label, row in self._yardsticks.items() if key in row]
        return ", ".join(known)


def figures_line(row: Mapping[str, float]) -> str:
    """What an epoch amounts to, in one line."""
    return "  ".join(f"{name} {form.format(row[key])}" for name, key, form in FIGURES if key in row)


def parts_line(row: Mapping[str, float]) -> str:
    """Where the last epoch's time went, and interaction steps per second of it."""
    parts = "  ".join(f"{name} {row[key]:.1f}" for name, key in PARTS.items() if key in row)
    steps_per_second = row[keys.INTERACTION_STEPS] / row[keys.EPOCH_WALL_S]
    return (
        f"seconds: {row[keys.EPOCH_WALL_S]:.1f} ({parts}), SUMO {row[keys.SIMULATION_WALL_S]:.1f}; "
        f"{row[keys.INTERACTION_STEPS_LIFETIME]:.0f} interaction steps, {steps_per_second:.0f} per second"
    )


def demonstrations_line(row: Mapping[str, float]) -> str:
    """How many demonstration cycles there were and what the last one brought; empty without demonstrations."""
    if keys.DEMONSTRATION_CYCLES not in row:
        return ""
    line = f"demonstration cycles: {row[keys.DEMONSTRATION_CYCLES]:.0f}, of which {row[keys.FAILED_CYCLES]:.0f} failed"
    if keys.EXECUTION_RATE in row:
        line += f"; the last: {row[keys.EXECUTION_RATE]:.0%} ran, reward {row[keys.EXPERT_REWARD]:.0f}"
    return line + ("; asking" if row.get(keys.IS_ASKING) else "")


def sparkline(values: Iterable[float], width: int = CURVE_WIDTH) -> str:
    """A curve of `width` characters at most, each the mean of its share of the finite values."""
    numbers = np.array(list(values), float)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return ""
    means = np.array([share.mean() for share in np.array_split(numbers, min(width, len(numbers)))])
    span = means.max() - means.min()
    heights = np.zeros(len(means)) if span == 0.0 else (means - means.min()) / span
    return "".join(BARS[int(height * (len(BARS) - 1) + 0.5)] for height in heights)
