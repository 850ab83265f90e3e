"""`reled tune`: search for settings through Ray Tune, resumable."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO, get_args

import typer

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
from rllib_releds.errors import one_of
from rllib_releds.experiments.methods import METHODS
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.literals import MAX_SEED
from rllib_releds.options import (
    AgentsOption,
    DemandOption,
    LlmOptions,
    NetworkOption,
    ReplayOption,
    ScenarioOption,
    refuse_llm,
    world,
)
from rllib_releds.tuning.settings import SchedulerName, TuneFolder, TuneSettings, default_spaces
from sumo_marl_env import make_scenario

if TYPE_CHECKING:
    from rllib_releds.tuning.report import TrialRow


def tune(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where everything goes, and goes on from.")] = Path(
        "runs/search"
    ),
    scheduler: Annotated[
        str,
        typer.Option(
            help="asha stops bad trials early, pbt lets them go on from good ones with other settings, or none."
        ),
    ] = "asha",
    spaces: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="What is searched: learning, weighting, demonstrations, imitation, values; by default values for "
            "QMIX, else learning, and weighting if somebody demonstrates and the method leaves it open.",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Trials.")] = 8,
    epochs: Annotated[int, typer.Option(min=1, help="Training epochs of a whole trial (K).")] = 100,
    interval: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Epochs to asha's first comparison, or between exchanges of pbt; by default an eighth of all.",
        ),
    ] = None,
    steps_per_epoch: Annotated[int, typer.Option(min=1, help="Interaction steps per epoch.")] = 1000,
    scenario: ScenarioOption = None,
    network: NetworkOption = None,
    demand: DemandOption = None,
    agents: AgentsOption = None,
    method: Annotated[str, typer.Option(metavar="METHOD", help=f"What learns: {', '.join(METHODS)}.")] = "RELED",
    llm: Annotated[
        str, typer.Option(metavar="MODEL", help="Who demonstrates, as in `reled train`.")
    ] = "offline/planner",
    llm_option: LlmOptions = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The model's replies, shared by all trials; by default DIR/replies."),
    ] = None,
    replay: ReplayOption = None,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Of every trial, and of the draws from the search spaces.")
    ] = 0,
    env_runners: Annotated[int, typer.Option(min=0, help="Ray actors that sample, per trial.")] = 0,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trials side by side; by default as many as there are cores for.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Search for settings: many trials that differ in them, compared by the reward that they end with.

    The same command again goes on after an interruption, a crash or a kill: finished trials are not repeated.
    """
    place = world(scenario, network, demand, agents)
    refuse_llm(context, method)
    with reported_errors(), only_json_on_stdout() as stdout:
        folder = TuneFolder(out)
        train = TrainSettings(
            **place,
            num_training_epochs=epochs,
            interaction_steps_per_epoch=steps_per_epoch,
            method=one_of("method", method, METHODS),
            demonstrations=None if llm == "none" else absolute_demonstrations(llm),
            llm=named_values(llm_option or []),
            record=_record(folder, llm, method, record, replay),
            replay=None if replay is None else replay.absolute(),
            seed=seed,
            num_env_runners=env_runners,
        )
        settings = TuneSettings(
            train=train,
            spaces=default_spaces(train) if spaces is None else tuple(name for name in spaces.split(",") if name),
            scheduler=one_of("scheduler", scheduler, get_args(SchedulerName)),
            interval=interval or max(1, epochs // 8),
            samples=samples,
        )
        # Before the folder is made: a wrong map, demand or model leaves nothing behind.
        check_demonstrations(settings.train, make_scenario(**settings.train.env_config()))
        cores = jobs or max(1, len(os.sched_getaffinity(0)) // (1 + env_runners))
        rows = _search(folder, settings, cores, as_json, stdout)
    if any(row.status == "failed" for row in rows):
        raise typer.Exit(1)


def _search(folder: TuneFolder, settings: TuneSettings, jobs: int, as_json: bool, stdout: TextIO) -> list[TrialRow]:
    # Ray takes seconds to import.
    from rllib_releds.tuning.records import TrialRecords
    from rllib_releds.tuning.report import draw_trials, results_table, rich_table, write_tables
    from rllib_releds.tuning.running import run_search

    rows = run_search(folder, settings, jobs)
    tables = write_tables(folder, rows)
    for row in rows:
        if row.error:
            typer.echo(f"failed: {row.name}: {row.error}", err=True)
    # Before the figure, which needs an extra package.
    if not as_json:
        console_on(stdout).print(rich_table(results_table(rows)))
        if rows[0].checkpoint is not None:
            print(f"Best: {rows[0].name}; its policies: {rows[0].checkpoint}", file=stdout)
        print(f"Tables: {', '.join(str(path) for path in tables)}", file=stdout)
    figures = draw_trials(folder, rows, TrialRecords(folder.metrics))
    if as_json:
        outputs = [str(path) for path in (*tables, *figures)]
        told = {"out": str(folder.path), "trials": [row.as_dict() for row in rows], "outputs": outputs}
        print(json.dumps(told), file=stdout)
    elif figures:
        print(f"Figure: {', '.join(str(path) for path in figures)}", file=stdout)
    return rows


def _record(folder: TuneFolder, llm: str, method: str, record: Path | None, replay: Path | None) -> Path | None:
    """Where replies are kept: where the user says, else in the folder of the search if there are any."""
    if record is not None:
        return record.absolute()
    asks = METHODS[method].demonstrations == "chosen" and is_model_name(llm)
    return folder.replies if asks and replay is None else None
