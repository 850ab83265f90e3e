"""A table that is read by people (Markdown) and by programs (CSV, JSON)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Shown = Callable[[Row], str]

NOTHING = "-"
"""A cell without a figure."""


@dataclass(frozen=True)
class Table:
    """Rows of plain figures, and how they are shown.

    Attributes:
        name: of its files.
        title: for people.
        note: what it rests on and what its columns mean, in Markdown.
        rows: numbers, strings and None by name; all rows have the same names.
        columns: per heading, what a row shows there.
        group: what rows share that stand together in Markdown, and its heading; None for one table.
    """

    name: str
    title: str
    note: str
    rows: tuple[Row, ...]
    columns: Mapping[str, Shown]
    group: Shown | None = None

    def markdown(self) -> str:
        """The note, and headings and rows of each group, without columns in which a group has nothing."""
        lines = [self.note]
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            groups.setdefault(self.group(row) if self.group else "", []).append(row)
        for heading, rows in groups.items():
            lines += ["", f"**{heading}**"] if heading else []
            cells = {name: [show(row) for row in rows] for name, show in self.columns.items()}
            there = {name: column for name, column in cells.items() if set(column) != {NOTHING}}
            lines += ["", f"| {' | '.join(there)} |", f"|{'---|' * len(there)}"]
            lines += [f"| {' | '.join(row)} |" for row in zip(*there.values(), strict=True)]
        return "\n".join([*lines, ""])

    def csv(self) -> str:
        """Every figure of every row, unrounded."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()


def number(value: float | None, digits: int = 1) -> str:
    """A dash for what is not there."""
    return NOTHING if value is None or math.isnan(value) else f"{value:z,.{digits}f}"


def spread(value: float | None, sd: float | None, digits: int = 1) -> str:
    """Mean and standard deviation; the mean alone where there is no other."""
    return number(value, digits) if value is None or sd is None else f"{number(value, digits)} ± {number(sd, digits)}"


def percent(share: float | None, *, signed: bool = False) -> str:
    """0.25 as 25.0 %. A signed share is a change: none at all is a dash."""
    if share is None or math.isnan(share) or (signed and share == 0):
        return NOTHING
    sign = "+" if signed and share > 0 else ""
    return f"{sign}{number(100.0 * share)} %"
