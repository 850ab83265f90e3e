"""Reads what finished trials left in a folder, and puts side by side what may be compared.

OUT/trials/<Trial.name>/result.json    a `TrialResult`; a folder without one is a trial that has not finished
    yardsticks/<Trial.setting>.json    `Yardsticks`
    demonstrations/table.json          rows of Table III, as `reled demos table --out OUT/demonstrations` writes them
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from rllib_releds.errors import RunError, reason
from rllib_releds.experiments.methods import METHODS
from rllib_releds.reproduction.trial import Curve, Evaluation, Trial, TrialResult, Yardsticks
from sumo_marl_env import DEMANDS

Column = Literal["rewards", "travel_times_s", "arrival_rates"]
Policy = Literal["greedy", "sampled"]

TABLE_III_FILE = Path("demonstrations") / "table.json"

Model = TypeVar("Model", bound=BaseModel)


class Missing(NamedTuple):
    """Something that the outputs do not have.

    Attributes:
        what: a trial, a table, a figure or a panel.
        why: in one sentence.
    """

    what: str
    why: str


@dataclass(frozen=True)
class Comparison:
    """Finished trials that may be compared: equal setting, encoder and budget.

    Attributes:
        runs: by method, in the order of `METHODS`; each method's runs by seed.
        yardsticks: evaluations of simple drivers by name; empty if they have not been run.
    """

    runs: Mapping[str, tuple[TrialResult, ...]]
    yardsticks: Mapping[str, Evaluation] = field(default_factory=dict)

    @property
    def trial_result(self) -> TrialResult:
        """Any of them."""
        return next(iter(self.runs.values()))[0]

    @property
    def trial(self) -> Trial:
        """Any of them, for what all have in common."""
        return self.trial_result.trial

    @property
    def num_steps(self) -> int:
        return self.trial.num_steps

    @property
    def budget(self) -> str:
        """Encoder and steps: what comparisons must share to stand in one figure. Fit for file names."""
        return f"{self.trial.encoder}_{self.num_steps}-steps"

    @property
    def title(self) -> str:
        """The setting for people: "gridtown, moderate, 10 agents"."""
        return self.trial.title

    @property
    def name(self) -> str:
        """With encoder and budget: "gridtown, moderate, 10 agents, combined, 100,000 steps"."""
        return f"{self.title}, {self.trial.encoder}, {self.num_steps:,} steps"

    def scores(self, method: str, column: Column, policy: Policy = "greedy") -> NDArray[np.float64]:
        """(S, E) figures of one method: its runs in the episodes that all its runs were evaluated in.

        Raises:
            RunError: if its runs have no background seed in common.
        """
        evaluations = [getattr(run, policy) for run in self.runs[method]]
        return aligned(evaluations, column, f"{method} in {self.name}")

    def beside(
        self, method: str, yardstick: str, column: Column, policy: Policy = "greedy"
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(S, E) and (E,): a method and a yardstick in the same episodes.

        Raises:
            RunError: if they have no background seed in common.
        """
        evaluations = [getattr(run, policy) for run in self.runs[method]]
        both = aligned([*evaluations, self.yardsticks[yardstick]], column, f"{method} and {yardstick} in {self.name}")
        return both[:-1], both[-1]

    def shared(
        self, methods: Sequence[str], yardstick: str, column: Column
    ) -> tuple[Mapping[str, NDArray[np.float64]], NDArray[np.float64]] | None:
        """({method: (S, E)}, (E,)): methods and a yardstick in the same episodes, with training seeds that all have.

        Returns:
            None if there is no such training seed.

        Raises:
            RunError: if they have no background seed in common.
        """
        seeds = set.intersection(*({run.trial.seed for run in self.runs[method]} for method in methods))
        if not seeds:
            return None
        evaluations = [run.greedy for method in methods for run in self.runs[method] if run.trial.seed in seeds]
        whose = f"{', '.join(methods)} and {yardstick} in {self.name}"
        together = aligned([*evaluations, self.yardsticks[yardstick]], column, whose)
        return dict(zip(methods, np.split(together[:-1], len(methods)), strict=True)), together[-1]

    def yardstick_scores(self, name: str, column: Column) -> NDArray[np.float64]:
        """(E,) figures of a yardstick in the episodes that all methods were evaluated in.

        Raises:
            RunError: if they have no background seed in common.
        """
        evaluations = [run.greedy for runs in self.runs.values() for run in runs]
        return aligned([*evaluations, self.yardsticks[name]], column, f"methods and {name} in {self.name}")[-1]

    def yardstick_mean(self, name: str, column: Column) -> float | None:
        """None if it has not been run."""
        return float(np.mean(getattr(self.yardsticks[name], column))) if name in self.yardsticks else None


@dataclass(frozen=True)
class Results:
    """Everything that is there.

    Attributes:
        comparisons: settings of the paper's size first, then by name, encoder and budget.
        table_three: rows of Table III; empty without any.
        missing: trials and yardsticks that are not there.
    """

    comparisons: tuple[Comparison, ...]
    table_three: tuple[Mapping[str, Any], ...]
    missing: tuple[Missing, ...]

    @property
    def trials(self) -> list[TrialResult]:
        return [run for comparison in self.comparisons for runs in comparison.runs.values() for run in runs]


def aligned(evaluations: Sequence[Evaluation], column: Column, whose: str) -> NDArray[np.float64]:
    """One row per evaluation, one column per background seed that all of them have.

    Raises:
        RunError: if they have none in common.
    """
    shared = [seed for seed in evaluations[0].seeds if all(seed in other.seeds for other in evaluations)]
    if not shared:
        raise RunError(
            f"{whose}: no background seed in common, so they cannot be compared; delete the older results and let "
            "`reled reproduce` make them again"
        )
    rows = [dict(zip(one.seeds, getattr(one, column), strict=True)) for one in evaluations]
    return np.array([[row[seed] for seed in shared] for row in rows])


def read_results(out: Path | str, expected: Iterable[Trial] = ()) -> Results:
    """All finished trials and yardsticks under `out`.

    Args:
        out: folder of `reled reproduce`.
        expected: trials that were asked for; those without a result are named as missing.

    Raises:
        RunError: if a file cannot be read, or there is neither a finished trial nor Table III.
    """
    out = Path(out)
    finished = {path.parent.name: read_result(path, TrialResult) for path in sorted(out.glob("trials/*/result.json"))}
    table_three = read_table_three(out / TABLE_III_FILE)
    if not finished and not table_three:
        raise RunError(f"{out / 'trials'} holds no finished trial; run `reled reproduce --out {out}` first")
    yardsticks = [read_result(path, Yardsticks) for path in sorted(out.glob("yardsticks/*.json"))]
    comparisons = _compared(finished.values(), {one.setting: one.drivers for one in yardsticks})
    unfinished = {path.name for path in (out / "trials").glob("*") if path.is_dir()} | {one.name for one in expected}
    unmeasured = sorted({one.trial.setting for one in comparisons if not one.yardsticks})
    missing = [
        *(Missing(f"trial {name}", "it has not finished") for name in sorted(unfinished - finished.keys())),
        *_fewer_seeds(comparisons),
        *(Missing(f"yardsticks of {setting}", "they have not been run") for setting in unmeasured),
    ]
    return Results(tuple(comparisons), table_three, tuple(missing))


def _compared(results: Iterable[TrialResult], yardsticks: Mapping[str, Mapping[str, Evaluation]]) -> list[Comparison]:
    groups: dict[tuple[Any, ...], dict[str, list[TrialResult]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        trial = result.trial
        # The paper's settings have 10 agents, and come first; so does moderate traffic.
        demand = list(DEMANDS).index(trial.demand) if trial.demand in DEMANDS else len(DEMANDS)
        size = trial.num_agents != 10, trial.encoder, trial.num_steps
        place = *size, trial.place, demand, trial.num_agents, trial.setting
        groups[place][trial.method].append(result)
    order = list(METHODS)
    comparisons = []
    for (*_, setting), methods in sorted(groups.items()):
        names = sorted(methods, key=lambda name: (order.index(name) if name in order else len(order), name))
        runs = {name: tuple(sorted(methods[name], key=lambda run: run.trial.seed)) for name in names}
        comparisons.append(Comparison(runs, yardsticks.get(setting, {})))
    return comparisons


def _fewer_seeds(comparisons: Iterable[Comparison]) -> list[Missing]:
    missing = []
    for comparison in comparisons:
        seeds = {method: {run.trial.seed for run in runs} for method, runs in comparison.runs.items()}
        everything = set().union(*seeds.values())
        for method, there in seeds.items():
            if absent := sorted(everything - there):
                names = ", ".join(map(str, absent))
                missing.append(
                    Missing(f"{method} in {comparison.name}", f"seed {names} is not there; other methods have it")
                )
    return missing


def read_result(path: Path, model: type[Model]) -> Model:
    """One file of results.

    Raises:
        RunError: if it cannot be read.
    """
    try:
        result = model.model_validate_json(path.read_bytes())
        for name, value in result:
            if isinstance(value, Curve | Evaluation):
                _check_lengths(name, value)
        return result
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _check_lengths(name: str, columns: Curve | Evaluation) -> None:
    # Where it is not said, each entry is one epoch.
    lengths = {column: len(values) for column, values in columns if column != "epochs" or values}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise ValueError(f"{name} has columns of unequal length or none: {lengths}")


def read_table_three(path: Path) -> tuple[Mapping[str, Any], ...]:
    """Rows of Table III; none if it has not been made.

    Raises:
        RunError: if they cannot be read.
    """
    if not path.is_file():
        return ()
    try:
        rows = tuple(json.loads(path.read_bytes())["rows"])
        if not all({"model", "refinements", "runs"} <= row.keys() for row in rows):
            raise ValueError("a row has no model, no refinements or no runs")
        return rows
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> RunError:
    return RunError(f"{path} cannot be read ({reason(error)}); delete it and let `reled reproduce` make it again")
