"""Small copies of results, to be kept in a repository. `write_outputs` can read them again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rllib_releds.demonstrations.models.chat import STORED
from rllib_releds.errors import RunError
from rllib_releds.files import write_bytes, write_text
from rllib_releds.reproduction.folder import refuse_another_page
from rllib_releds.reproduction.results import TABLE_III_FILE, read_result, read_results
from rllib_releds.reproduction.trial import Curve, TrialResult, Yardsticks

MAX_ENTRIES = 100
"""Longer curves are thinned to at most this many."""


def keep(out: Path, folder: Path) -> list[Path]:
    """Copy what `write_outputs` has written, and all results with rounded and thinned curves.

    Tables, figures and results.json come from the full curves.

    Args:
        out: folder of `reled reproduce`, after `write_outputs`.
        folder: where to, such as docs/results.

    Returns:
        The files written.

    Raises:
        RunError: if there are no outputs yet, `folder` is `out` or somebody else's, or a result cannot be read.
    """
    if folder.resolve() == out.resolve():
        raise RunError(f"{out} would lose its full curves to the small copies; give another folder to --keep")
    refuse_another_page(folder)
    index = out / "results.json"
    if not index.is_file():
        raise RunError(f"{out} has no finished outputs; let `reled reproduce --out {out}` write its outputs first")
    files = [*json.loads(index.read_bytes())["files"], "results.json", "README.md"]
    if (out / TABLE_III_FILE).is_file():
        files.append(str(TABLE_III_FILE))
    kept = []
    for name in files:
        kept.append(folder / name)
        write_bytes(kept[-1], (out / name).read_bytes())
    results = read_results(out)
    for result in results.trials:
        kept.append(folder / "trials" / result.trial.name / "result.json")
        write_text(kept[-1], small(result).model_dump_json() + "\n")
    for one in {one.trial.setting: one for one in results.comparisons if one.yardsticks}.values():
        name = f"yardsticks/{one.trial.setting}.json"
        kept.append(folder / name)
        write_text(kept[-1], _rounded(read_result(out / name, Yardsticks)).model_dump_json() + "\n")
    return kept


def small(result: TrialResult) -> TrialResult:
    """The same with at most `MAX_ENTRIES` entries in its curve, five figures per number, no folders of this machine."""
    trial = result.trial
    names = {"scenario": _plain(trial.scenario), "demand": trial.demand and _plain(trial.demand)}
    changes = {
        "curve": thinned(result.curve),
        "trial": trial.model_copy(update=names),
        "demonstrator": result.demonstrator and _plain_demonstrator(result.demonstrator),
    }
    return _rounded(result.model_copy(update=changes))


def thinned(curve: Curve) -> Curve:
    """Entries of k epochs each: what adds up as it is at the end of the last, anything else their mean.

    k is the smallest with which at most `MAX_ENTRIES` are left; the last entry may have fewer epochs.
    """
    length = len(curve.interaction_steps)
    step = -(-length // MAX_ENTRIES)
    if step <= 1:
        return curve
    begins = range(0, length, step)
    epochs = curve.epochs or (1,) * length
    columns: dict[str, Any] = {"epochs": tuple(sum(epochs[begin : begin + step]) for begin in begins)}
    for name, values in curve.model_dump(exclude={"epochs"}).items():
        blocks = [values[begin : begin + step] for begin in begins]
        adds_up = name in ("interaction_steps", "expert_interaction_steps", "wall_s")
        columns[name] = tuple(block[-1] if adds_up else _mean(block) for block in blocks)
    return Curve(**columns)


def _mean(block: Sequence[float | None]) -> float | None:
    there = [value for value in block if value is not None]
    return float(np.mean(there)) if there else None


def _rounded(result: Any) -> Any:
    return type(result).model_validate(_round(result.model_dump()))


def _round(value: Any) -> Any:
    """Five significant figures, and never less than whole numbers."""
    if isinstance(value, float):
        return round(value) if abs(value) >= 1e5 else float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: _round(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_round(entry) for entry in value]
    return value


def _plain(name: str) -> str:
    """A file by its name alone: equal settings keep equal names."""
    return Path(name).name if Path(name).is_absolute() else name


def _plain_demonstrator(name: str) -> str:
    return f"{STORED}{Path(name.removeprefix(STORED)).name}" if name.startswith(STORED) else name
