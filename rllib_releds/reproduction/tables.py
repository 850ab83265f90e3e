"""The paper's tables from finished trials, with the paper's numbers in the next column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from rllib_releds.reproduction.published import TABLE_IV, paper_town
from rllib_releds.reproduction.results import Column, Comparison, Policy, Results
from rllib_releds.reproduction.statistics import Summary, flat, interquartile_mean, mean_ratio, summarise
from rllib_releds.table import NOTHING, Row, Shown, Table, number, percent, spread

REFERENCE = "RELED"
"""What drops and rises of Table IV are against."""

DRAWN_YARDSTICKS = {"free_flow": "free flow", "live": "live traffic", "rerouting": "SUMO's rerouting"}
"""The yardsticks that tables and figures show, and what people call them."""

BASELINES = ("IPPO", "MAPPO", "QMIX")

_COLUMNS: dict[str, Column] = {"reward": "rewards", "travel_time_s": "travel_times_s"}
"""What Table IV has with a spread: entries of its rows, and where evaluations have them."""


def table_four(results: Results, policy: Policy = "greedy") -> Table | None:
    """Table IV: the final policies of every method in every setting, and the yardsticks below them.

    Args:
        results: finished trials.
        policy: most probable actions, or drawn ones.

    Returns:
        None if no trial has finished.
    """
    rows = [row for comparison in results.comparisons for row in _converged(comparison, policy)]
    if not rows:
        return None
    columns: dict[str, Shown] = {
        "method": lambda row: row["method"],
        "seeds": lambda row: str(row["seeds"] or NOTHING),
        "reward": lambda row: spread(row["reward"], row["reward_sd"]),
        "drop": lambda row: percent(row["reward_change"], signed=True),
        "reward of the paper": lambda row: _of_paper(row, "reward"),
        "travel time (s)": lambda row: spread(row["travel_time_s"], row["travel_time_s_sd"]),
        "rise": lambda row: percent(row["travel_time_s_change"], signed=True),
        "time of the paper (s)": lambda row: _of_paper(row, "travel_time_s"),
        "arrived": lambda row: percent(row["arrival_rate"]),
        "IQM of reward": partial(_interval, name="reward_iqm"),
        "IQM of travel time (s)": partial(_interval, name="travel_time_s_iqm"),
    }
    how = "most probable actions" if policy == "greedy" else "actions drawn from the policies"
    note = (
        f"Final policies, {how}, {_episodes(results, policy)} on background seeds that are the same for all. Mean ± "
        "sample SD over training seeds; drop and rise against RELED; the paper's in parentheses. IQM: mean of the "
        "middle half of all runs and episodes, with the 95 % interval of a bootstrap over training seeds and episodes. "
        "Yardsticks have no training seed: SD over episodes. Steps are those of the policies' own episodes, in whole "
        "episodes and so somewhat more; those of demonstrations come on top (sample efficiency counts them)."
    )
    name = "table_4" if policy == "greedy" else f"table_4_{policy}"
    return Table(name, f"Table IV: converged performance ({how})", note, tuple(rows), columns, group_name)


def yardstick_table(results: Results) -> Table | None:
    """Mean travel time of the final policies over that of each yardstick, SUMO's rerouting first.

    Returns:
        None if no yardstick has been run.
    """
    order = ("rerouting", "live", "free_flow")
    rows = []
    for comparison in results.comparisons:
        for method, runs in comparison.runs.items():
            row = {**where(comparison), "method": method, "seeds": len(runs)}
            for name in order:
                there = name in comparison.yardsticks
                ratio = mean_ratio(*comparison.beside(method, name, "travel_times_s")) if there else None
                row |= flat(f"over_{name}", ratio)
            rows.append(row)
    if all(row[f"over_{name}"] is None for row in rows for name in order):
        return None
    columns: dict[str, Shown] = {
        "method": lambda row: row["method"],
        "seeds": lambda row: str(row["seeds"]),
        **{f"over {DRAWN_YARDSTICKS[name]}": partial(_interval, name=f"over_{name}", digits=3) for name in order},
    }
    note = (
        "Mean travel time of the final policies (most probable actions) divided by the yardstick's in the same "
        "episodes: below 1 is faster. 95 % interval of a bootstrap over training seeds and episodes."
    )
    return Table(
        "yardsticks",
        "Travel time against SUMO's rerouting and other yardsticks",
        note,
        tuple(rows),
        columns,
        group_name,
    )


def overall_table(results: Results) -> Table | None:
    """One figure per method over all settings: travel time over the live shortest time's, interquartile mean.

    Methods are set side by side over the settings that RELED and all baselines have, by encoder and budget.

    Returns:
        None if there is no such setting.
    """
    wanted = {REFERENCE, *BASELINES}
    complete = [one for one in results.comparisons if "live" in one.yardsticks and wanted <= one.runs.keys()]
    rows: list[dict[str, Any]] = []
    for budget in dict.fromkeys(one.budget for one in complete):
        rows += _together([one for one in complete if one.budget == budget])
    if not rows:
        return None
    columns: dict[str, Shown] = {
        "encoder, steps": lambda row: f"{row['encoder']}, {row['steps']:,}",
        "method": lambda row: row["method"],
        "settings": lambda row: str(row["settings"]),
        "mean": lambda row: number(row["mean"], 3),
        "IQM": partial(_interval, name="iqm", digits=3),
    }
    shared = {(row["encoder"], row["steps"]): row["shared_runs"] for row in rows}
    counts = "; ".join(f"{runs} ({encoder}, {steps:,} steps)" for (encoder, steps), runs in shared.items())
    note = (
        "Travel time of the final policies over the live shortest time's mean in the same setting, over all settings "
        "that RELED, IPPO, MAPPO and QMIX have: below 1 is faster. Mean: of all runs, every setting counts alike. IQM: "
        "only of runs (setting and training seed) that all methods shown have, so that they weigh the same for each; "
        f"per method {counts}. 95 % interval of a bootstrap over training seeds and episodes, within each setting; "
        "live shortest times are taken from the same drawn episodes."
    )
    return Table("overall", "All settings together", note, tuple(rows), columns)


def _together(settings: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Rows of the methods that all of these settings have."""
    first = settings[0]
    methods = [method for method in first.runs if all(method in one.runs for one in settings)]
    shared = [both for one in settings if (both := one.shared(methods, "live", "travel_times_s")) is not None]
    rows = []
    for method in methods:
        pairs = [one.beside(method, "live", "travel_times_s") for one in settings]
        strata = [scores[method] for scores, _ in shared]
        row: dict[str, Any] = {"encoder": first.trial.encoder, "steps": first.num_steps, "method": method}
        row |= {"settings": len(settings), "mean": float(np.mean([one.mean() / live.mean() for one, live in pairs]))}
        row |= {"shared_settings": len(strata), "shared_runs": sum(map(len, strata))}
        rows.append(row | flat("iqm", interquartile_mean(strata, [live for _, live in shared]) if strata else None))
    return rows


def _converged(comparison: Comparison, policy: Policy) -> list[dict[str, Any]]:
    town = paper_town(comparison.trial)
    best: dict[str, float] = {}
    rows = []
    for method, runs in comparison.runs.items():
        row = {**where(comparison), "method": method, "seeds": len(runs)}
        for name, column in _COLUMNS.items():
            summary = summarise(comparison.scores(method, column, policy))
            if method == REFERENCE:
                best[name] = summary.mean
            row |= flat(name, summary)
            row[f"{name}_change"] = _change(summary.mean, best.get(name))
        row["arrival_rate"] = float(comparison.scores(method, "arrival_rates", policy).mean())
        rows.append(row | _printed(town, method))
    for name, shown in DRAWN_YARDSTICKS.items():
        if name in comparison.yardsticks:
            rows.append(_yardstick_row(comparison, name, shown, best))
    return rows


def _yardstick_row(comparison: Comparison, name: str, shown: str, best: Mapping[str, float]) -> dict[str, Any]:
    row: dict[str, Any] = {**where(comparison), "method": shown, "seeds": None}
    for figure, column in _COLUMNS.items():
        values = comparison.yardstick_scores(name, column)
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
        row |= flat(figure, Summary(float(np.mean(values)), sd, interquartile_mean([[values]])))
        row[f"{figure}_change"] = _change(row[figure], best.get(figure))
    row["arrival_rate"] = float(comparison.yardstick_scores(name, "arrival_rates").mean())
    return row | _printed(None, name)


def where(comparison: Comparison) -> dict[str, Any]:
    """Entries that every row of a comparison begins with."""
    return {"setting": comparison.title, "encoder": comparison.trial.encoder, "steps": comparison.num_steps}


def group_name(row: Row) -> str:
    """Heading of a comparison's rows."""
    return f"{row['setting']}; {row['encoder']} encoder, {row['steps']:,} steps"


def _change(value: float, reference: float | None) -> float | None:
    """Relative to what RELED has; None where it has not run."""
    return None if not reference else (value - reference) / abs(reference)


def _printed(town: str | None, method: str) -> dict[str, Any]:
    """The paper's entries of a row."""
    row: dict[str, Any] = {"paper_town": town}
    of_town = TABLE_IV.get(town or "", {})
    printed, best = of_town.get(method), of_town.get(REFERENCE)
    for name, sd in (("reward", "reward_sd"), ("travel_time_s", "travel_time_sd_s")):
        value = getattr(printed, name, None)
        row[f"paper_{name}"] = value
        row[f"paper_{name}_sd"] = getattr(printed, sd, None)
        row[f"paper_{name}_change"] = None if value is None else _change(value, getattr(best, name))
    return row


def _of_paper(row: Row, name: str) -> str:
    if row[f"paper_{name}"] is None:
        return NOTHING
    shown = spread(row[f"paper_{name}"], row[f"paper_{name}_sd"])
    return f"{shown} ({percent(row[f'paper_{name}_change'], signed=True)})"


def _episodes(results: Results, policy: Policy) -> str:
    counts = sorted({len(getattr(run, policy).seeds) for run in results.trials})
    return f"{' or '.join(map(str, counts))} episodes each"


def _interval(row: Row, name: str, digits: int = 1) -> str:
    """An `Estimate` that `flat` has put into the row."""
    if row[name] is None:
        return NOTHING
    low, high = (number(row[f"{name}_{end}"], digits) for end in ("low", "high"))
    return f"{number(row[name], digits)} [{low}, {high}]"
