"""`reled reproduce`: the trials of the paper's tables and figures, side by side and resumable."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TextIO, get_args

import typer
from rich.console import Console
from rich.table import Table

from rllib_releds.console import (
    JsonOption,
    absolute_name,
    check_demonstrations,
    only_json_on_stdout,
    reported_errors,
)
from rllib_releds.experiments.methods import METHODS
from rllib_releds.experiments.records import RunError
from rllib_releds.literals import EncoderName
from rllib_releds.reproduction.folder import ReproductionFolder, TrialState, duration, remaining_seconds
from rllib_releds.reproduction.grid import BUDGETS, EXPERIMENTS, Selection, trial_settings
from rllib_releds.reproduction.trial import Trial
from sumo_marl_env import make_scenario


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
        str, typer.Option(metavar="MODEL", help="Who demonstrates, as in `reled train`.")
    ] = "offline/planner",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trials side by side, one core each; by default all cores.")
    ] = None,
    only_list: Annotated[
        bool, typer.Option("--list", help="Show the trials, how far they are and the time left.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train and evaluate methods x scenarios x seeds x agent counts x encoders, beside the yardsticks.

    Options that take several values take them with commas or may be repeated; each replaces what the experiments say.
    The same command again goes on after an interruption, a crash or a kill: finished trials are not repeated.
    """
    with reported_errors("the same command"), only_json_on_stdout() as stdout:
        selection = Selection(
            experiments=_values(experiments),
            methods=_values(methods),
            scenarios=tuple(_absolute(name, (".json",)) for name in _values(scenarios)),
            demands=tuple(_absolute(name, (".xml",)) for name in _values(demands)),
            maps=tuple(str(Path(file).absolute()) for file in _values(maps)),
            seeds=_numbers("seeds", seeds, 0),
            agents=_numbers("agents", agents, 1),
            encoders=_encoders(encoders),
            budget=budget,
        )
        trials = selection.trials()
        folder = ReproductionFolder(out)
        jobs = jobs or len(os.sched_getaffinity(0))
        if only_list:
            _list([folder.state(trial) for trial in trials], jobs, as_json, stdout)
            return
        demonstrations = absolute_name(llm)
        _check(trials, demonstrations)
        num_failed = _run(folder, trials, demonstrations, BUDGETS[budget].evaluation_episodes, jobs, as_json, stdout)
    if num_failed:
        raise typer.Exit(1)


def _run(
    folder: ReproductionFolder,
    trials: Sequence[Trial],
    demonstrations: str,
    evaluation_episodes: int,
    jobs: int,
    as_json: bool,
    stdout: TextIO,
) -> int:
    """Returns how many tasks failed."""
    from rllib_releds.reproduction.progress import TrialsDisplay
    from rllib_releds.reproduction.running import run_tasks, silence_tune
    from rllib_releds.reproduction.work import TrialTask, YardsticksTask

    silence_tune()
    settings = {trial.setting: trial for trial in trials}
    tasks: list[TrialTask | YardsticksTask] = [
        *(YardsticksTask(trial, folder.path, evaluation_episodes) for trial in settings.values()),
        *(TrialTask(trial, folder.path, demonstrations, evaluation_episodes) for trial in trials),
    ]
    states = [folder.state(trial) for trial in trials]
    unfinished = [task for task in tasks if not task.is_done(folder)]
    failures = run_tasks(folder, unfinished, jobs, TrialsDisplay(Console(stderr=True), states, jobs))
    done = len(trials) - sum(isinstance(task, TrialTask) and not task.is_done(folder) for task in tasks)
    if as_json:
        failed = [{"name": one.name, "error": one.error, "log": str(one.log)} for one in failures]
        print(json.dumps({"out": str(folder.path), "trials": len(trials), "done": done, "failed": failed}), file=stdout)
    else:
        print(f"{done} of {len(trials)} trials done. Results: {folder.path}", file=stdout)
    for failure in failures:
        typer.echo(f"failed: {failure.name}: {failure.error} (see {failure.log})", err=True)
    return len(failures)


def _values(options: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(value for option in options or () for value in option.split(",") if value)


def _numbers(name: str, options: Sequence[str] | None, least: int) -> tuple[int, ...]:
    values = _values(options)
    if not all(value.isdecimal() and int(value) >= least for value in values):
        raise RunError(f"--{name} takes whole numbers from {least} on, such as 5,10; not {','.join(values)}")
    return tuple(int(value) for value in values)


def _encoders(options: Sequence[str] | None) -> tuple[EncoderName, ...]:
    known = {name: name for name in get_args(EncoderName)}
    values = _values(options)
    unknown = [value for value in values if value not in known]
    if unknown:
        raise RunError(f"unknown encoder {unknown[0]!r}; choose {', '.join(known)}")
    return tuple(known[value] for value in values)


def _absolute(name: str, suffixes: tuple[str, ...]) -> str:
    """A built-in name as it is; a file by its absolute path, for workers."""
    return str(Path(name).absolute()) if name.endswith(suffixes) else name


def _check(trials: Sequence[Trial], demonstrations: str) -> None:
    """Refuse a wrong map, demand or model before anything is trained."""
    for trial in {trial.method: trial for trial in trials}.values():
        check_demonstrations(trial_settings(trial, demonstrations))
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
    console = Console(file=stdout, width=None if stdout.isatty() else 160)
    console.print(table)
    left = "no trial has begun, so its length is not known" if left_s is None else f"about {duration(left_s)} left"
    console.print(", ".join(f"{count} {status}" for status, count in counts.items()) + f"; {left} with {jobs} jobs")
