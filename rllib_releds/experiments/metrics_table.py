"""metrics.csv: what an epoch reported, one row each, so that a killed process loses no finished one."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rllib_releds import keys


class MetricsTable:
    """metrics.csv: one row per epoch. Columns may join later; earlier rows have them empty.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._columns: list[str] = []
        if self.path.is_file():
            with self.path.open(newline="") as file:
                self._columns = next(csv.reader(file), [])

    def append(self, row: Mapping[str, float | int]) -> None:
        """Add a finished epoch; `row` has the key "epoch"."""
        joining = [column for column in row if column not in self._columns]
        if joining:
            rows = self._rows()
            self._columns += joining
            self._rewrite(rows)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns, restval="").writerow(row)

    def truncate(self, finished_epochs: int) -> None:
        """Forget rows of epochs that were not finished: their result is in no checkpoint."""
        rows = self._rows()
        kept = [row for row in rows if int(float(row[keys.EPOCH])) < finished_epochs]
        if len(kept) < len(rows):
            self._rewrite(kept)

    def read(self) -> dict[str, NDArray[np.float64]]:
        """Columns by name, each (epochs,) float64, NaN where empty."""
        rows = self._rows()
        return {
            column: np.array([float(row[column]) if row[column] else np.nan for row in rows])
            for column in self._columns
        }

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.is_file():
            return []
        with self.path.open(newline="") as file:
            # A row that the process was killed in has fewer fields; its epoch was not finished.
            return [row for row in csv.DictReader(file) if None not in row.values() and row[keys.EPOCH]]

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        temporary = self.path.with_suffix(".writing")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(self.path)
