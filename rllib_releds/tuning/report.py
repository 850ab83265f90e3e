"""What came out of a search: one row per trial, and how rows are shown and kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table as RichTable

from rllib_releds import keys
from rllib_releds.errors import last_line
from rllib_releds.files import whole_file, write_json, write_text
from rllib_releds.plots import needs_matplotlib
from rllib_releds.table import NOTHING, Row, Shown, Table, number, percent
from rllib_releds.tuning.settings import TuneFolder

if TYPE_CHECKING:
    from rllib_releds.tuning.records import TrialRecords

FINAL_SHARE = 0.1
"""Share of a trial's epochs, the last ones, that its final figures are the means of: single epochs are noisy."""


@dataclass(frozen=True)
class TrialRow:
    """One trial.

    Attributes:
        name: of its folder and its table.
        status: "finished", "stopped" early by the scheduler, or "failed".
        epochs: trained.
        final_reward: mean reward of its last epochs; NaN without any.
        final_travel_time_s: the same for travel times.
        final_arrival_rate: the same for arrivals.
        parameters: what was searched; after exchanges of a population its last settings. None where a trial failed
            before its first epoch.
        checkpoint: the newest, for `RELED.from_checkpoint`; None without any.
        error: why it failed, in one line.
    """

    name: str
    status: str
    epochs: int
    final_reward: float
    final_travel_time_s: float
    final_arrival_rate: float
    parameters: Mapping[str, Any]
    checkpoint: str | None
    error: str | None

    @property
    def score(self) -> float:
        """For sorting: NaN would be neither best nor worst."""
        return -math.inf if math.isnan(self.final_reward) else self.final_reward

    def as_dict(self) -> dict[str, Any]:
        """For JSON: None in place of NaN."""
        fields = asdict(self).items()
        return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in fields}


def trial_row(result: Any, names: Iterable[str], records: TrialRecords, epochs: int) -> TrialRow:
    """The row of one of Tune's results.

    Args:
        result: `ray.tune.Result`.
        names: of the settings that were searched.
        records: of the trials.
        epochs: of a finished trial.
    """
    name = Path(result.path).name
    table = records.read(name)
    # A disk that was full leaves the header alone.
    seen = table.get(keys.EPOCH, np.zeros(0))
    trained = int(seen[-1]) + 1 if len(seen) else 0
    error = None if result.error is None else last_line(str(result.error))
    return TrialRow(
        name=name,
        status="failed" if error else "finished" if trained >= epochs else "stopped",
        epochs=trained,
        final_reward=_final(table, keys.MEAN_REWARD),
        final_travel_time_s=_final(table, keys.MEAN_TRAVEL_TIME_S),
        final_arrival_rate=_final(table, keys.ARRIVAL_RATE),
        # A trial that died before its first result has no configuration.
        parameters={name: (result.config or {}).get(name) for name in names},
        checkpoint=None if result.checkpoint is None else str(result.checkpoint.path),
        error=error,
    )


def _final(table: Mapping[str, np.ndarray], column: str) -> float:
    values = table.get(column, np.zeros(0))
    last = values[-max(1, round(FINAL_SHARE * len(values))) :]
    return float(last.mean()) if len(last) else math.nan


def results_table(rows: Sequence[TrialRow]) -> Table:
    """Rows as a table for people and programs."""
    flat = [
        {
            "trial": row.name,
            "status": row.status,
            "epochs": row.epochs,
            "final_reward": row.final_reward,
            "final_travel_time_s": row.final_travel_time_s,
            "final_arrival_rate": row.final_arrival_rate,
            **row.parameters,
            "error": row.error,
        }
        for row in rows
    ]
    columns: dict[str, Shown] = {
        "trial": lambda row: row["trial"],
        "status": lambda row: row["status"],
        "epochs": lambda row: str(row["epochs"]),
        "reward": lambda row: number(row["final_reward"]),
        "travel time (s)": lambda row: number(row["final_travel_time_s"]),
        "arrived": lambda row: percent(row["final_arrival_rate"]),
        **{name: partial(_setting, name) for name in rows[0].parameters},
    }
    note = (
        f"Best first. Rewards, travel times and arrivals are means of the last {FINAL_SHARE:.0%} of a trial's epochs."
    )
    return Table("trials", "Trials", note, tuple(flat), columns)


def rich_table(table: Table) -> RichTable:
    """The same for a terminal."""
    shown_table = RichTable(*table.columns)
    for row in table.rows:
        shown_table.add_row(*(show(row) for show in table.columns.values()))
    return shown_table


def write_tables(folder: TuneFolder, rows: Sequence[TrialRow]) -> list[Path]:
    """The table for programs and for people, and results.json; returns the files."""
    table = results_table(rows)
    paths = [folder.path / "trials.csv", folder.path / "trials.md", folder.path / "results.json"]
    write_text(paths[0], table.csv())
    write_text(paths[1], table.markdown())
    write_json(paths[2], {"trials": [row.as_dict() for row in rows]})
    return paths


def draw_trials(folder: TuneFolder, rows: Sequence[TrialRow], records: TrialRecords) -> list[Path]:
    """The figure; none if no trial has finished an epoch.

    Raises:
        RunError: if Matplotlib is not installed.
    """
    measured = [row for row in rows if row.epochs and None not in row.parameters.values()]
    if not measured:
        return []
    with needs_matplotlib("the same command"):
        from rllib_releds.plots.search import search_figure
    figure = search_figure(
        {row.name: records.read(row.name) for row in measured},
        [row.parameters for row in measured],
        [row.final_reward for row in measured],
    )
    path = folder.path / "figures" / "trials.png"
    with whole_file(path) as file:
        figure.savefig(file, dpi=110)
    return [path]


def _setting(name: str, row: Row) -> str:
    """For people: three figures of a number."""
    value = row[name]
    return NOTHING if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
