"""`reled evaluate` and `reled export`: what is done with the policies of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from rllib_releds.console import (
    BestOption,
    JsonOption,
    RunArgument,
    console_on,
    only_json_on_stdout,
    reported_errors,
    show,
    silence_libraries,
)
from rllib_releds.experiments.records import RunFolder
from rllib_releds.files import absolute_file
from sumo_marl_env import DEMANDS, QUICK_YARDSTICKS, YARDSTICKS, yardstick_names


def evaluate(
    run: RunArgument,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes, each with background traffic of its own.")] = 20,
    greedy: Annotated[
        bool, typer.Option("--greedy/--sampled", help="Take the most probable actions, or draw them as in training.")
    ] = False,
    best: BestOption = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the first episode.")] = None,
    scenario: Annotated[
        str | None, typer.Option(help="Another scenario on the same network, with as many agents; by default its own.")
    ] = None,
    demand: Annotated[
        str | None, typer.Option(help=f"Other background traffic: {', '.join(DEMANDS)}, or a SUMO route file.")
    ] = None,
    trips_seed: Annotated[
        int | None,
        typer.Option(min=0, help="Other origin-destination pairs. Each policy was trained for its own pair alone."),
    ] = None,
    yardsticks: Annotated[
        str, typer.Option(metavar="A,B", help=f"Which of {', '.join(YARDSTICKS)}; or all, or none.")
    ] = ",".join(QUICK_YARDSTICKS),
    as_json: JsonOption = False,
) -> None:
    """Drive with a run's newest policies, and compare with the yardsticks on the same seeds."""
    with reported_errors(), only_json_on_stdout() as stdout:
        from rllib_releds.experiments.comparison import Question, compare, in_tables, save
        from rllib_releds.experiments.evaluation import EVALUATION_SEED

        silence_libraries()
        folder = RunFolder.open(run)
        question = Question(
            episodes=episodes,
            first_seed=EVALUATION_SEED if seed is None else seed,
            is_greedy=greedy,
            is_best=best,
            scenario=absolute_file(scenario),
            demand=absolute_file(demand),
            trips_seed=trips_seed,
            yardsticks=yardstick_names(yardsticks),
        )
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("episodes", total=None)
            comparison = compare(
                folder, question, lambda done, total: progress.update(task, completed=done, total=total)
            )
        if as_json:
            file = save(folder, comparison)
            print(json.dumps({**comparison.to_dict(), "file": str(file)}), file=stdout)
        else:
            # Before anything that a full disk could break off.
            in_tables(comparison, console_on(stdout))
            print(f"Saved: {save(folder, comparison)}", file=stdout)


def export(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder; by default RUN/deployment/epoch_NNNNN.")
    ] = None,
    best: BestOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write each agent's newest policy as ONNX, with an example that needs neither Ray nor torch."""
    with reported_errors("another `reled export`"), only_json_on_stdout() as stdout:
        from rllib_releds.deployment.export import export_run

        silence_libraries()
        show(export_run(RunFolder.open(run), out, is_best=best), as_json, stdout)
