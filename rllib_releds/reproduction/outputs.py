"""Tables, figures and a page that shows them, from whatever trials have finished.

OUT/tables/<name>.md, .csv     Tables III and IV, sample efficiency, yardsticks, all settings together
    figures/<name>.png, .svg   Figures 4 to 9
    results.json               every figure of every table, what is missing, and on what it rests
    README.md                  the page
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllib_releds.demonstrations.records.table import table_three
from rllib_releds.files import write_json, write_text
from rllib_releds.plots import needs_matplotlib
from rllib_releds.reproduction.results import Missing, Results, read_results
from rllib_releds.reproduction.sample_efficiency import sample_efficiency
from rllib_releds.reproduction.tables import overall_table, table_four, yardstick_table
from rllib_releds.reproduction.trial import Trial
from rllib_releds.table import Table

if TYPE_CHECKING:
    from rllib_releds.reproduction.figures import Drawing


@dataclass(frozen=True)
class Outputs:
    """What goes onto the page.

    Attributes:
        results: what it is made of.
        tables: in their order.
        drawings: in their order.
        missing: trials, tables and figures that are not there.
    """

    results: Results
    tables: Sequence[Table]
    drawings: Sequence[Drawing]
    missing: Sequence[Missing]


def write_outputs(out: Path, expected: Iterable[Trial] = ()) -> list[Path]:
    """Read all finished results under `out`, trials and Table III, and write what they give.

    Args:
        out: folder of `reled reproduce`.
        expected: trials that were asked for; those without a result are named as missing.

    Returns:
        The files written, the page last.

    Raises:
        RunError: if a result cannot be read, none has finished, or Matplotlib is not installed: then the tables alone
            are written.
    """
    out = Path(out)
    results = read_results(out, expected)
    tables, without_tables = _tables(results)
    written = [path for table in tables for path in _write_table(table, out / "tables")]
    with needs_matplotlib("the same command"):
        from rllib_releds.reproduction.figures import draw
    drawings, without_drawings = draw(results)
    outputs = Outputs(results, tables, drawings, [*results.missing, *without_tables, *without_drawings])
    written += [path for drawing in drawings for path in drawing.save(out / "figures")]
    files = [str(path.relative_to(out)) for path in written]
    write_json(out / "results.json", _as_json(outputs) | {"files": files})
    write_text(out / "README.md", _page(outputs))
    return [*written, out / "results.json", out / "README.md"]


def _tables(results: Results) -> tuple[list[Table], list[Missing]]:
    demonstrations = table_three(results.table_three) if results.table_three else None
    made = [
        ("Table III", "its demonstrations have not been made", demonstrations),
        ("Table IV", "no trial has finished", table_four(results)),
        ("Table IV with drawn actions", "no trial has finished", table_four(results, "sampled")),
        ("sample efficiency", "live shortest times have not been run in any setting", sample_efficiency(results)),
        ("travel time against yardsticks", "no yardstick has been run in any setting", yardstick_table(results)),
        ("all settings together", "no setting has live traffic, RELED, IPPO, MAPPO and QMIX", overall_table(results)),
    ]
    tables = [table for _, _, table in made if table is not None]
    return tables, [Missing(name, why) for name, why, table in made if table is None]


def _write_table(table: Table, folder: Path) -> list[Path]:
    texts = {folder / f"{table.name}.md": table.markdown(), folder / f"{table.name}.csv": table.csv()}
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def _as_json(outputs: Outputs) -> dict[str, Any]:
    return {
        "rests_on": [
            {
                "setting": one.trial.setting,
                "encoder": one.trial.encoder,
                "steps": one.num_steps,
                "seeds": {method: [run.trial.seed for run in runs] for method, runs in one.runs.items()},
                "episodes": len(one.trial_result.greedy.seeds),
                "yardsticks": list(one.yardsticks),
            }
            for one in outputs.results.comparisons
        ],
        "versions": _versions(outputs.results),
        "tables": {table.name: [dict(row) for row in table.rows] for table in outputs.tables},
        "missing": [missing._asdict() for missing in outputs.missing],
    }


def _versions(results: Results) -> dict[str, list[str]]:
    """Every version of each package that trials ran with: more than one asks for a second look."""
    names = dict.fromkeys(name for run in results.trials for name in run.versions)
    return {name: sorted({str(run.versions.get(name)) for run in results.trials}) for name in names}


def _page(outputs: Outputs) -> str:
    results = outputs.results
    hours = sum(run.wall_s for run in results.trials) / 3600.0
    lines = [
        "# Reproduction: tables and figures",
        "",
        f"{_count(len(results.trials), 'finished trial')} in {_count(len(results.comparisons), 'comparison')} "
        f"({hours:.1f} hours of training, all added). A comparison has one setting, encoder and budget:",
        "",
    ]
    for one in results.comparisons:
        seeds = ", ".join(f"{method} {len(runs)}" for method, runs in one.runs.items())
        episodes = len(one.trial_result.greedy.seeds)
        lines.append(f"- {one.name}; evaluated in {_count(episodes, 'episode')}; seeds: {seeds}")
    for table in outputs.tables:
        lines += ["", f"## {table.title}", "", table.markdown().rstrip()]
        lines += ["", f"All figures: [{table.name}.csv](tables/{table.name}.csv)"]
    for number, drawings in groupby(outputs.drawings, key=lambda drawing: drawing.number):
        lines += ["", f"## Figure {number}"]
        for drawing in drawings:
            lines += ["", f"![{drawing.caption}](figures/{drawing.name}.png)"]
            lines += ["", f"{drawing.caption} ([SVG](figures/{drawing.name}.svg))"]
    lines += ["", "## Missing", ""]
    lines += [f"- {missing.what}: {missing.why}." for missing in outputs.missing] or ["Nothing."]
    return "\n".join([*lines, ""])


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
