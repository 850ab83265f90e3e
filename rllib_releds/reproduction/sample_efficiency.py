"""How many interaction steps a method needs until its agents drive nearly as fast as live shortest times would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rllib_releds.reproduction.results import Comparison, Results
from rllib_releds.reproduction.statistics import WINDOW, steps_so_far, steps_to_threshold
from rllib_releds.reproduction.tables import REFERENCE, group_name, where
from rllib_releds.reproduction.trial import TrialResult
from rllib_releds.table import Row, Shown, Table, number

TOLERANCE = 1.05
"""Times the live yardstick's mean travel time."""


def sample_efficiency(results: Results) -> Table | None:
    """Steps to within 5 % of live shortest times, and what RELED needs of each other method's.

    Returns:
        None if the live yardstick has not been run anywhere.
    """
    rows = [row for one in results.comparisons if "live" in one.yardsticks for row in _rows(one)]
    if not rows:
        return None
    columns: dict[str, Shown] = {
        "method": lambda row: row["method"],
        "seeds that reach it": lambda row: f"{row['reached']} of {row['seeds']}",
        "interaction steps": lambda row: _steps(row, "needed"),
        "RELED over this": lambda row: _ratio(row, "ratio"),
        "with those of experts": lambda row: _steps(row, "needed_with_expert"),
        "RELED over this, with those of experts": lambda row: _ratio(row, "ratio_with_expert"),
    }
    note = (
        f"Interaction steps until the mean of {WINDOW} epochs of the travel time in training (drawn actions) is within "
        "5 % of the live shortest time's mean. Mean over seeds (smallest to largest). `>`: a seed never got there, and "
        "counts with all the steps that it had; `<` and `>` before a ratio follow from that."
    )
    return Table("sample_efficiency", "Sample efficiency", note, tuple(rows), columns, _group_name)


def _group_name(row: Row) -> str:
    return f"{group_name(row)}; at most {number(row['threshold_s'])} s"


def _rows(comparison: Comparison) -> list[dict[str, Any]]:
    live = comparison.yardstick_mean("live", "travel_times_s")
    assert live is not None
    threshold_s = TOLERANCE * live
    rows: list[dict[str, Any]] = []
    for method, runs in comparison.runs.items():
        row = {**where(comparison), "threshold_s": threshold_s, "method": method, "seeds": len(runs)}
        row["reached"] = sum(steps_to_threshold(run.curve, threshold_s) is not None for run in runs)
        row |= _needed(runs, threshold_s, "needed", with_expert_steps=False)
        row |= _needed(runs, threshold_s, "needed_with_expert", with_expert_steps=True)
        rows.append(row)
    reference = next((row for row in rows if row["method"] == REFERENCE), None)
    return [row | _ratios(reference, row) for row in rows]


def _needed(runs: Sequence[TrialResult], threshold_s: float, name: str, *, with_expert_steps: bool) -> dict[str, float]:
    """Mean, smallest and largest; a run that never got there counts with all its steps."""
    steps = []
    for run in runs:
        reached = steps_to_threshold(run.curve, threshold_s, with_expert_steps=with_expert_steps)
        every = float(steps_so_far(run.curve, with_expert_steps=with_expert_steps)[-1])
        steps.append(every if reached is None else reached)
    return {name: sum(steps) / len(steps), f"{name}_min": min(steps), f"{name}_max": max(steps)}


def _ratios(reference: Mapping[str, Any] | None, row: Mapping[str, Any]) -> dict[str, Any]:
    """RELED's steps over this method's. `ratio_bound`: "<" or ">" where one of them is a lower bound, None for neither.

    Two lower bounds say nothing of their ratio.
    """
    names = {"ratio": "needed", "ratio_with_expert": "needed_with_expert"}
    nothing = {**dict.fromkeys(names), "ratio_bound": None}
    if reference is None or row["method"] == REFERENCE:
        return nothing
    ours, theirs = (one["reached"] < one["seeds"] for one in (reference, row))
    if ours and theirs:
        return nothing
    bound = ">" if ours else "<" if theirs else None
    return {**{ratio: reference[steps] / row[steps] for ratio, steps in names.items()}, "ratio_bound": bound}


def _steps(row: Row, name: str) -> str:
    bound = "> " if row["reached"] < row["seeds"] else ""
    low, high = row[f"{name}_min"], row[f"{name}_max"]
    return f"{bound}{number(row[name], 0)}" + (f" ({number(low, 0)} to {number(high, 0)})" if low < high else "")


def _ratio(row: Row, name: str) -> str:
    return f"{row['ratio_bound'] or ''} {number(row[name], 2)}".strip()
