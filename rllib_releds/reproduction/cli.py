"""`reled reproduce`: the trials of the paper's tables and figures, side by side and resumable."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, get_args

import typer
from rich.console import Console
from rich.table import Table

from rllib_releds.console import (
    JsonOption,
    check_demonstrations,
    console_on,
    named_values,
    only_json_on_stdout,
    reported_errors,
)
from rllib_releds.demonstrations.callbacks import absolute_demonstrations
from rllib_releds.demonstrations.models.chat import is_model_name
from rllib_releds.errors import RunError, one_of
from rllib_releds.experiments.methods import METHODS
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.files import absolute_file
from rllib_releds.literals import MAX_SEED, EncoderName
from rllib_releds.options import LlmOptions
from rllib_releds.reproduction.folder import (
    ReproductionFolder,
    TrialState,
    duration,
    refuse_another_page,
    remaining_seconds,
)
from rllib_releds.reproduction.grid import BUDGETS, EXPERIMENTS, Selection, trial_settings
from rllib_releds.reproduction.trial import Trial
from sumo_marl_env import make_scenario

if TYPE_CHECKING:
    from rllib_releds.reproduction.running import Failure
    from rllib_releds.reproduction.work import Task


def _several(metavar: str, help: str) -> Any:
    return typer.Option(metavar=f"{metavar},...", help=help)


def reproduce(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where everything goes, and goes on from.")] = Path(
        "runs/reproduction"
    ),
    budget: Annotated[
        str, typer.Option(help="smoke (every method, minutes), short (1e5 interaction steps) or paper (5e5).")
    ] = "short",
    experiments: Annotated[list[str] | None, _several("NAME", f"{', '.join(EXPERIMENTS)}.")] = None,
    methods: Annotated[list[str] | None, _several("METHOD", f"{', '.join(METHODS)}.")] = None,
    scenarios: Annotated[list[str] | None, _several("NAME", "gridtown, harbourtown, rush, or scenario files.")] = None,
    demands: Annotated[list[str] | None, _several("NAME", "Background traffic, such as moderate,congested.")] = None,
    maps: Annotated[list[str] | None, _several("FILE", "Maps (.osm, .net.xml) for the experiment maps.")] = None,
    seeds: Annotated[list[str] | None, _several("N", "Seeds, such as 0,1,2.")] = None,
    agents: Annotated[list[str] | None, _several("N", "Numbers of vehicles that learn.")] = None,
    encoders: Annotated[list[str] | None, _several("NAME", f"{', '.join(get_args(EncoderName))}.")] = None,
    llm: Annotated[
        str,
        typer.Option(
            metavar="MODEL", help="Who demonstrates where the method does not say: a name as of `reled train`."
        ),
    ] = "offline/planner",
    llm_option: LlmOptions = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trials side by side, one core each; by default all cores.")
    ] = None,
    only_list: Annotated[
        bool, typer.Option("--list", help="Show the trials, how far they are and the time left.")
    ] = False,
    figures_only: Annotated[
        bool, typer.Option("--figures-only", help="Train nothing; write tables and figures of what is there.")
    ] = False,
    keep_in: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Also copy tables, figures and small results there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train and evaluate methods x scenarios x seeds x agent counts x encoders, beside the yardsticks.

    Options that take several values take them with commas or may be repeated; each replaces what the experiments say.
    The same command again goes on after an interruption, a crash or a kill: finished trials are not repeated.
    """
    with reported_errors(), only_json_on_stdout() as stdout:
        selection = Selection(
            experiments=_values(experiments),
            methods=_values(methods),
            scenarios=tuple(absolute_file(name) for name in _values(scenarios)),
            demands=tuple(absolute_file(name) for name in _values(demands)),
            maps=tuple(str(Path(file).absolute()) for file in _values(maps)),
            seeds=_numbers("seeds", seeds, 0, MAX_SEED),
            agents=_numbers("agents", agents, 1),
            encoders=tuple(one_of("encoder", name, get_args(EncoderName)) for name in _values(encoders)),
            budget=budget,
        )
        trials = selection.trials()
        folder = ReproductionFolder(out)
        jobs = jobs or len(os.sched_getaffinity(0))
        for written in [out, keep_in] if keep_in else [out]:
            refuse_another_page(written)
        if only_list:
            _list([folder.state(trial) for trial in trials], jobs, as_json, stdout)
            return
        failures: list[Failure] = []
        if not figures_only:
            demonstrations = absolute_demonstrations(llm)
            llm_settings = named_values(llm_option or [])
            _check(trials, demonstrations, llm_settings, selection.has_table_three)
            tasks = _tasks(folder, selection, trials, demonstrations, llm_settings)
            failures = _run(folder, trials, tasks, jobs)
        outputs: list[Path] = []
        if figures_only or folder.has_results():
            from rllib_releds.reproduction.keeping import keep
            from rllib_releds.reproduction.outputs import write_outputs

            outputs = write_outputs(folder.path, trials)
            if keep_in:
                keep(folder.path, keep_in)
        _show(folder, trials, failures, outputs, as_json, stdout)
    if failures:
        raise typer.Exit(1)


def _tasks(
    folder: ReproductionFolder, selection: Selection, trials: Sequence[Trial], model: str, llm: Mapping[str, str]
) -> list[Task]:
    """What is not done yet, the short ones first."""
    from rllib_releds.reproduction.work import DemonstrationsTask, TrialTask, YardsticksTask

    budget = BUDGETS[selection.budget]
    tasks: list[Task] = []
    if selection.has_table_three and not trials and not is_model_name(model):
        raise RunError(f"Table III is of a language model or offline/planner, not of {model}; give another --llm")
    if selection.has_table_three and is_model_name(model):
        tasks.append(DemonstrationsTask(folder.path, model, budget.refinements, budget.demonstration_runs, llm))
    episodes = budget.evaluation_episodes
    tasks += [YardsticksTask(one, folder.path, episodes) for one in {one.setting: one for one in trials}.values()]
    tasks += [TrialTask(trial, folder.path, model, episodes, llm) for trial in trials]
    return [task for task in tasks if not task.is_done(folder)]


def _run(folder: ReproductionFolder, trials: Sequence[Trial], tasks: Sequence[Task], jobs: int) -> list[Failure]:
    """Run the tasks and tell what failed."""
    # Ray takes seconds to import.
    from rllib_releds.reproduction.progress import TrialsDisplay
    from rllib_releds.reproduction.running import run_tasks

    states = [folder.state(trial) for trial in trials]
    failures = run_tasks(folder, tasks, jobs, TrialsDisplay(Console(stderr=True), states, jobs))
    for failure in failures:
        typer.echo(f"failed: {failure.name}: {failure.error} (see {failure.log})", err=True)
    return failures


def _show(
    folder: ReproductionFolder,
    trials: Sequence[Trial],
    failures: Sequence[Failure],
    outputs: Sequence[Path],
    as_json: bool,
    stdout: TextIO,
) -> None:
    done = sum(folder.state(trial).status == "done" for trial in trials)
    table_three = folder.demonstrations_file.with_suffix(".md")
    if as_json:
        told = {
            "out": str(folder.path),
            "trials": len(trials),
            "done": done,
            "failed": [{"name": one.name, "error": one.error, "log": str(one.log)} for one in failures],
            "outputs": [str(path) for path in outputs],
            "table_three": str(table_three) if table_three.is_file() else None,
        }
        print(json.dumps(told), file=stdout)
        return
    page = outputs[-1] if outputs else "none yet, as no trial is done"
    of_trials = f"{done} of {len(trials)} trials done. " if trials else ""
    print(f"{of_trials}Tables and figures: {page}", file=stdout)
    if table_three.is_file():
        print(f"Table III: {table_three}", file=stdout)


def _values(options: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(value for option in options or () for value in option.split(",") if value)


def _numbers(name: str, options: Sequence[str] | None, least: int, most: int | None = None) -> tuple[int, ...]:
    values = _values(options)
    if not all(value.isdecimal() and int(value) >= least for value in values):
        raise RunError(f"--{name} takes whole numbers from {least} on, such as 5,10; not {','.join(values)}")
    if most is not None and any(int(value) > most for value in values):
        raise RunError(f"--{name} takes whole numbers up to {most}; not {','.join(values)}")
    return tuple(int(value) for value in values)


def _check(trials: Sequence[Trial], demonstrations: str, llm: Mapping[str, str], has_table_three: bool) -> None:
    """Refuse a wrong map, demand or model before anything is trained."""
    if has_table_three:
        check_demonstrations(TrainSettings(demonstrations=demonstrations, llm=dict(llm)))
    for trial in {trial.method: trial for trial in trials}.values():
        check_demonstrations(trial_settings(trial, demonstrations, llm))
    for trial in {trial.setting: trial for trial in trials}.values():
        make_scenario(**trial_settings(trial, demonstrations).env_config())


def _list(states: Sequence[TrialState], jobs: int, as_json: bool, stdout: TextIO) -> None:
    left_s = remaining_seconds(states, jobs)
    counts = {status: sum(state.status == status for state in states) for status in ("done", "part done", "to do")}
    if as_json:
        rows = [{"name": state.trial.name, **asdict(state), "trial": state.trial.model_dump()} for state in states]
        print(json.dumps({"trials": rows, **counts, "seconds_left": left_s}), file=stdout)
        return
    table = Table("trial", "status", "epochs", "s per epoch")
    for state in states:
        seconds = "" if state.seconds_per_epoch is None else f"{state.seconds_per_epoch:.2f}"
        status = f"failed: {state.error}" if state.error else state.status
        table.add_row(state.trial.name, status, f"{state.finished_epochs}/{state.trial.num_epochs}", seconds)
    console = console_on(stdout)
    console.print(table)
    left = "no trial has begun, so its length is not known" if left_s is None else f"about {duration(left_s)} left"
    console.print(", ".join(f"{count} {status}" for status, count in counts.items()) + f"; {left} with {jobs} jobs")
