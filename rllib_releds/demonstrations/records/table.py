"""Table III of the paper with one's own models, beside the paper's numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rllib_releds import keys
from rllib_releds.demonstrations.errors import StoredDemonstrationError
from rllib_releds.demonstrations.models.chat import is_model_name
from rllib_releds.demonstrations.records.making import DemosSettings, Progress, make_demonstrations
from rllib_releds.demonstrations.records.published import TABLE_III, VARIANTS, Figure, Phase, paper_model
from rllib_releds.demonstrations.records.stored import StoredCycle
from rllib_releds.demonstrations.routing_domain import ROUTING
from rllib_releds.files import write_text
from rllib_releds.table import NOTHING, Row, Shown, Table, spread
from rllib_releds.weighting import mean_distance_m
from sumo_marl_env import recorded_scenario

FORMATS = {"markdown": "md", "csv": "csv", "json": "json"}
"""Names of formats, and the endings of their files."""


@dataclass(frozen=True)
class TableRow:
    """One model in one variant at one stage.

    Attributes:
        model: its name.
        interfaces: whether it wrote programs with navigation functions, or plain routes.
        refinement: whether it was told what came of its answers.
        refinements: how many there were before.
        runs: means and spreads are over this many.
        measured: what came of it. Execution rate in percent: programs that ran and brought their vehicle home.
        paper_model: the paper's model that it is set beside.
        paper_refinements: the paper's stage that it is set beside: 0, 25 or 50.
        paper: its figures, in another town.
    """

    model: str
    interfaces: bool
    refinement: bool
    refinements: int
    runs: int
    measured: Phase
    paper_model: str
    paper_refinements: int
    paper: Phase


def demonstration_table(
    folder: Path | str,
    models: Sequence[DemosSettings],
    *,
    refinements: int = 50,
    repeats: int = 1,
    record: Path | str | None = None,
    replay: Path | str | None = None,
    progress: Progress | None = None,
) -> list[TableRow]:
    """Make what is still missing of the demonstrations in `folder`, and tell what came of them.

    Args:
        folder: of all runs; a stopped table goes on there.
        models: one per model; `interfaces` and `refine` are varied.
        refinements: of each run, after the initial demonstrations.
        repeats: runs per row, with the seeds that follow that of the settings.
        record: folder in which the models' replies are kept, a folder of its own per run.
        replay: the same folder, to repeat the table without the models.
        progress: told of each finished cycle.

    Raises:
        StoredDemonstrationError: as `make_demonstrations`, and for what is no language model.
    """
    for settings in models:
        if not is_model_name(settings.model):
            raise StoredDemonstrationError(
                f"Table III compares how language models are asked, and {settings.model!r} is none; name one as "
                "provider/name"
            )
    _check_folder(Path(folder))
    rows = []
    for settings in models:
        for interfaces, refinement in VARIANTS:
            runs = []
            for repeat in range(repeats):
                changes = {"interfaces": interfaces, "refine": refinement, "seed": settings.seed + repeat}
                wanted = settings.model_copy(update=changes)
                name = _folder_name(wanted)
                places = {key: place and Path(place) / name for key, place in (("record", record), ("replay", replay))}
                runs.append(
                    make_demonstrations(Path(folder) / name, wanted, refinements + 1, progress=progress, **places)
                )
            rows += _rows(settings.model, interfaces, refinement, refinements, runs)
    return rows


def _check_folder(folder: Path) -> None:
    """Raises StoredDemonstrationError if something else lies in the folder than runs of a table."""
    for path in folder.iterdir() if folder.is_dir() else ():
        is_of_a_table = path.stem == "table" or (path / "demos.json").is_file() or path.name.startswith(".")
        is_empty = path.is_dir() and not any(path.iterdir())
        if not (is_of_a_table or is_empty):
            raise StoredDemonstrationError(f"{folder} holds something else ({path.name}); give another --out")


def written_table(rows: Sequence[TableRow], format: str) -> str:
    """The table as "markdown", "csv" or "json", ended by a newline."""
    flat = [_flat(row) for row in rows]
    if format == "json":
        return json.dumps({"rows": flat}) + "\n"
    table = table_three(flat)
    return table.csv() if format == "csv" else table.markdown()


def write_table(rows: Sequence[TableRow], folder: Path) -> None:
    """table.md, table.csv and, last, table.json."""
    for format, ending in FORMATS.items():
        write_text(folder / f"table.{ending}", written_table(rows, format))


def table_three(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Table III from the rows that `written_table` writes as JSON."""

    def both(row: Row, figure: str) -> str:
        if row[f"measured_{figure}"] is None:
            return NOTHING
        measured, paper = (
            spread(row[f"{whose}_{figure}"], row[f"{whose}_{figure}_sd"], digits=2) for whose in ("measured", "paper")
        )
        return f"{measured} ({paper})"

    columns: dict[str, Shown] = {
        "model": lambda row: row["model"],
        "IFs": lambda row: "yes" if row["interfaces"] else "no",
        "refinement": lambda row: "yes" if row["refinement"] else "no",
        "after (paper)": lambda row: f"{row['refinements']} ({row['paper_refinements']})",
        "executed % (paper)": partial(both, figure="execution_rate"),
        "reward (paper)": partial(both, figure="reward"),
        "time s (paper)": partial(both, figure="seconds"),
        "DTW difference m (paper)": partial(both, figure="dtw_m"),
    }
    runs = ", ".join(map(str, sorted({row["runs"] for row in rows})))
    beside = "; ".join(sorted({f"{row['model']} beside {row['paper_model']}" for row in rows}))
    note = (
        f"Mean ± SD over runs, {runs} per row; the paper's in parentheses, in its own town. {beside}. Every stage has "
        "background traffic of its own, so rewards compare best between rows of the same stage."
    )
    return Table("table_3", "Table III: demonstrations", note, tuple(rows), columns)


def _rows(
    model: str, interfaces: bool, refinement: bool, refinements: int, runs: Sequence[Sequence[StoredCycle]]
) -> list[TableRow]:
    rows, paper = [], paper_model(model)
    stages = (0, refinements // 2, refinements)
    for stage, paper_stage, printed in zip(stages, (0, 25, 50), TABLE_III[paper][interfaces, refinement], strict=True):
        cycles = [run[stage] for run in runs]
        figures = [cycle.manifest["figures"] for cycle in cycles]
        moved_m = [found for run in runs if stage and (found := _moved_m(run[0], run[stage])) is not None]
        measured = Phase(
            _figure([100.0 * one[keys.EXECUTION_RATE] for one in figures]),
            _figure([one[keys.EXPERT_REWARD] for one in figures]),
            _figure([one.get(keys.LLM_SECONDS, 0.0) for one in figures]),
            _figure(moved_m) if moved_m else None,
        )
        rows.append(TableRow(model, interfaces, refinement, stage, len(runs), measured, paper, paper_stage, printed))
    return rows


def _moved_m(before: StoredCycle, after: StoredCycle) -> float | None:
    network = recorded_scenario(before.episodes()[0][1]).network
    paths = (
        {agent: one["path"] for agent, one in cycle.outcomes.items() if one["error"] is None}
        for cycle in (before, after)
    )
    return mean_distance_m(ROUTING, network, *paths)


def _figure(values: Sequence[float]) -> Figure:
    return Figure(mean(values), stdev(values) if len(values) > 1 else None)


def _flat(row: TableRow) -> dict[str, Any]:
    flat: dict[str, Any] = {name: value for name, value in vars(row).items() if not isinstance(value, Phase)}
    for whose in ("measured", "paper"):
        for name, figure in getattr(row, whose)._asdict().items():
            flat[f"{whose}_{name}"] = None if figure is None else figure.mean
            flat[f"{whose}_{name}_sd"] = None if figure is None else figure.spread
    return flat


def _folder_name(settings: DemosSettings) -> str:
    variant = ("" if settings.interfaces else "_routes") + ("" if settings.refine else "_no-refinement")
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '_', settings.model)}{variant}_{settings.seed}"
