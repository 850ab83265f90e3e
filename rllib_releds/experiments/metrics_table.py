"""metrics.csv: what an epoch reported, one row each, so that a killed process loses no finished one."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rllib_releds import keys
from rllib_releds.errors import RunError
from rllib_releds.files import write_text

_REMEDY = "mend that line, or remove it; the other epochs stay"


class _Row(NamedTuple):
    """A whole row as it is written, and its line in the file."""

    fields: dict[str, str]
    line: int


class MetricsTable:
    """metrics.csv: one row per epoch. Columns may join later; earlier rows have them empty.

    A process may be killed, or the disk be full, in the middle of a row: its epoch was not finished, and it is read as
    if it were not there. A row is whole with its last line break.

    Args:
        path: of the file.

    Raises:
        RunError: here and below, if the file is no text.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._columns = next(csv.reader(_whole_lines(self._text())), [])

    def append(self, row: Mapping[str, float | int]) -> None:
        """Add a finished epoch; `row` has the key "epoch"."""
        joining = [column for column in row if column not in self._columns]
        text = self._text()
        if joining or (text and not text.endswith("\n")):
            rows = self._rows()
            self._columns += joining
            write_text(self.path, self._written(rows))
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns, restval="").writerow(row)

    def truncate(self, finished_epochs: int) -> None:
        """Forget rows of epochs that were not finished, whole ones and parts: their result is in no checkpoint.

        Raises:
            RunError: if an epoch is no number, naming file and line.
        """
        kept = self._written([row for row in self._rows() if self._number(row, keys.EPOCH) < finished_epochs])
        if kept != self._text():
            write_text(self.path, kept)

    def read(self) -> dict[str, NDArray[np.float64]]:
        """Columns by name, each (epochs,) float64, NaN where empty.

        Raises:
            RunError: if an entry is no number, naming file and line.
        """
        rows = self._rows()
        return {column: np.array([self._number(row, column) for row in rows]) for column in self._columns}

    def _text(self) -> str:
        if not self.path.is_file():
            return ""
        try:
            return self.path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise RunError(f"{self.path} is damaged ({error}); {_REMEDY}") from error

    def _rows(self) -> list[_Row]:
        """The whole ones."""
        reader = csv.DictReader(_whole_lines(self._text()))
        if reader.fieldnames and keys.EPOCH not in reader.fieldnames:
            raise RunError(f"{self.path}, line 1: no column is named {keys.EPOCH}; {_REMEDY}")
        # Too many fields come under the key None, too few leave the value None.
        return [
            _Row(fields, reader.line_num)
            for fields in reader
            if None not in fields and None not in fields.values() and fields[keys.EPOCH]
        ]

    def _number(self, row: _Row, column: str) -> float:
        text = row.fields[column]
        try:
            number = float(text) if text else math.nan
            if column == keys.EPOCH and not math.isfinite(number):
                raise ValueError(f"{text!r} is no epoch")
            return number
        except ValueError as error:
            raise RunError(f"{self.path}, line {row.line}: {column} cannot be read ({error}); {_REMEDY}") from error

    def _written(self, rows: list[_Row]) -> str:
        """The file with these rows; nothing before the first one has named its columns."""
        if not self._columns:
            return ""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, restval="")
        writer.writeheader()
        writer.writerows(row.fields for row in rows)
        return text.getvalue()


def _whole_lines(text: str) -> list[str]:
    return text.splitlines(keepends=True) if text.endswith("\n") else text.splitlines(keepends=True)[:-1]
