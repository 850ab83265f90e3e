"""`reled`: train, resume, look at and evaluate runs.

With `--json` standard output holds exactly one JSON object; progress, tables and warnings go to standard error.
"""

from __future__ import annotations

import json
import math
import sys
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console

from rllib_releds import demos_cli
from rllib_releds.console import (
    JsonOption,
    RunArgument,
    algorithm_settings,
    check_demonstrations,
    console_on,
    named_values,
    only_json_on_stdout,
    reported_errors,
    show,
    silence_libraries,
)
from rllib_releds.demonstrations.callbacks import absolute_demonstrations
from rllib_releds.demonstrations.models.chat import LATER_SETTINGS
from rllib_releds.errors import RunError, going_on, one_of
from rllib_releds.experiments.methods import METHODS
from rllib_releds.experiments.records import RunFolder
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.files import file_name
from rllib_releds.jobs.cli import submit
from rllib_releds.literals import MAX_SEED
from rllib_releds.options import (
    AgentsOption,
    DemandOption,
    LlmOptions,
    NetworkOption,
    RecordOption,
    ReplayOption,
    ScenarioOption,
    refuse_llm,
    world,
)
from rllib_releds.policies_cli import evaluate, export
from rllib_releds.reproduction.cli import reproduce
from rllib_releds.tuning.cli import tune
from sumo_marl_env import make_scenario

app = typer.Typer(
    help="RELED: routing policies that learn from their own experience and from demonstrations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(demos_cli.app, name="demos")
app.command()(reproduce)
app.command()(evaluate)
app.command()(export)
app.command()(submit)
app.command()(tune)


def _positive(minutes: float | None) -> float | None:
    if minutes is not None and not 0.0 < minutes < math.inf:
        raise typer.BadParameter(f"{minutes} is not a number of minutes above 0; leave it out for no limit")
    return minutes


MinutesOption = Annotated[
    float | None,
    typer.Option(
        callback=_positive, help="Stop after the epoch in which these minutes have passed; `reled resume` goes on."
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"reled {metadata.version('rllib-releds')} (ray {metadata.version('ray')})")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print versions and exit.")
    ] = False,
) -> None:
    """RELED: routing policies that learn from their own experience and from demonstrations."""


@app.command()
def train(
    context: typer.Context,
    scenario: ScenarioOption = None,
    network: NetworkOption = None,
    demand: DemandOption = None,
    agents: AgentsOption = None,
    epochs: Annotated[int, typer.Option(min=1, help="Training epochs of 1000 interaction steps (K).")] = 500,
    method: Annotated[
        str, typer.Option(metavar="METHOD", help=f"What learns: {', '.join(METHODS)}.", show_default=True)
    ] = "RELED",
    llm: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="Who demonstrates: a language model as litellm names it, such as openai/gpt-3.5-turbo (key from the "
            "environment), offline/planner, live, logit, stored:FOLDER, or none for IPPO.",
        ),
    ] = "offline/planner",
    llm_option: LlmOptions = None,
    asynchronous: Annotated[
        bool, typer.Option("--asynchronous", help="Ask the model beside training: a slow or dead server costs no time.")
    ] = False,
    record: RecordOption = None,
    replay: ReplayOption = None,
    gate: Annotated[
        bool | None,
        typer.Option(
            "--gate/--no-gate",
            help="Whether each agent keeps the best version of its demonstration; by default as the method says.",
            show_default=False,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of the algorithm, such as encoder=raw or lr=1e-4; may be repeated. Names: RELEDConfig.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of weights, traffic, actions and subsets.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="New run folder; by default runs/<scenario>-<time>.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URI", help="Copy the run after each epoch to a folder or a URI such as s3://bucket/run."),
    ] = None,
    keep_checkpoints: Annotated[
        int, typer.Option(min=1, help="Newest checkpoints that are kept, beside the untrained and the best one.")
    ] = 2,
    env_runners: Annotated[int, typer.Option(min=0, help="Ray actors that sample; 0 samples in this process.")] = 0,
    minutes: MinutesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train RELED on a town or on a map of your own, then compare it with the yardsticks."""
    place = world(scenario, network, demand, agents)
    refuse_llm(context, method)
    with reported_errors(), only_json_on_stdout() as stdout:
        settings = TrainSettings(
            **place,
            num_training_epochs=epochs,
            method=one_of("method", method, METHODS),
            demonstrations=None if llm == "none" else absolute_demonstrations(llm),
            llm=named_values(llm_option or []),
            asynchronous=asynchronous,
            record=None if record is None else record.absolute(),
            replay=None if replay is None else replay.absolute(),
            seed=seed,
            num_env_runners=env_runners,
            storage=None if storage is None else _uri_or_absolute(storage),
            keep_checkpoints=keep_checkpoints,
            minutes=minutes,
            algorithm=algorithm_settings(set_ or []) | ({} if gate is None else {"demonstration_gate": gate}),
        )
        # Before the folder is made: a wrong map, demand or model leaves nothing behind.
        built = make_scenario(**settings.env_config())
        check_demonstrations(settings, built)
        if set_:
            # Ray takes seconds to import.
            from rllib_releds.experiments.runner import check_algorithm_settings

            silence_libraries()
            check_algorithm_settings(settings)
        folder = out or Path("runs") / f"{file_name(built.name)}-{datetime.now():%Y%m%d-%H%M%S}"
        if settings.storage:
            from rllib_releds.experiments.storage import RunStorage

            storage_there = RunStorage(settings.storage)
            storage_there.refuse_another_run()
            storage_there.refuse_within(folder)
        run = RunFolder.create(folder, settings)
        with reported_errors(f"`{going_on(run.path)}`"):
            _train_and_report(run, as_json, stdout)


def _uri_or_absolute(name: str) -> str:
    if not name:
        raise RunError("--storage is empty; give a URI such as s3://bucket/runs/first, or a folder")
    return name if "://" in name else str(Path(name).absolute())


@app.command()
def fetch(
    uri: Annotated[str, typer.Argument(metavar="URI", help="What `reled train --storage` was given.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="New run folder.")],
    as_json: JsonOption = False,
) -> None:
    """Get a run back from shared storage, to go on with it by `reled resume`."""
    with reported_errors("another `reled fetch`"), only_json_on_stdout() as stdout:
        from rllib_releds.experiments.status import run_status
        from rllib_releds.experiments.storage import RunStorage

        show(run_status(RunStorage(uri).pull(out)), as_json, stdout)


@app.command()
def resume(
    run: RunArgument,
    minutes: MinutesOption = None,
    llm_option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help=f"Change a limit of the language model: {', '.join(LATER_SETTINGS)}."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a run from its last finished epoch."""
    with reported_errors("`reled resume`"), only_json_on_stdout() as stdout:
        from rllib_releds.experiments.runner import check_algorithm_settings

        silence_libraries()
        folder = RunFolder.open(run)
        limits = named_values(llm_option or [])
        if set(limits) - set(LATER_SETTINGS):
            raise RunError(f"--llm-option of a run that was begun may change {', '.join(LATER_SETTINGS)} alone")
        settings = folder.settings.model_copy(update={"minutes": minutes, "llm": folder.settings.llm | limits})
        # It may have been edited.
        check_demonstrations(settings)
        check_algorithm_settings(settings)
        folder.update_settings(settings)
        with reported_errors(f"`{going_on(folder.path)}`"):
            _train_and_report(folder, as_json, stdout)


@app.command()
def status(run: RunArgument, as_json: JsonOption = False) -> None:
    """Say how far a run has come."""
    from rllib_releds.experiments.status import run_status

    with reported_errors(), only_json_on_stdout() as stdout:
        metrics = run_status(RunFolder.open(run))
        show(metrics, as_json, stdout)


def _train_and_report(run: RunFolder, as_json: bool, stdout: TextIO) -> None:
    from rllib_releds.experiments.report import draw_figures, measure, report_table
    from rllib_releds.experiments.runner import train as train_run
    from rllib_releds.experiments.status import run_status
    from rllib_releds.experiments.storage import RunStorage

    silence_libraries()
    console = console_on(sys.stderr if as_json else stdout)
    if run.finished_epochs() >= run.settings.num_training_epochs:
        console.print("Finished already: what follows is measured and drawn anew.", highlight=False)
    train_run(run, Console(stderr=True, markup=False))
    with Console(stderr=True).status("comparing with the yardsticks"):
        summaries = measure(run)
    # The table first: figures need an extra package.
    console.print(report_table(run, summaries))
    with Console(stderr=True).status("drawing"):
        figures = draw_figures(run, summaries)
    if run.settings.storage:
        RunStorage(run.settings.storage).push(run)
    status = run_status(run)
    if "last_failure" in status:
        counts = f"{status['failed_demonstration_cycles']} of {status['demonstration_cycles']}"
        words = f"{counts} demonstration cycles brought nothing; the last: {status['last_failure']}"
        console.out(words, highlight=False)
    elif run.settings.asynchronous and not status["demonstration_cycles"]:
        console.out("No demonstration was used: the first answer came too late, or not at all.", highlight=False)
    if not status["is_finished"]:
        words = f"Stopped after {status['epochs']} of {status['num_training_epochs']} epochs; "
        console.out(f"{words}{going_on(run.path)} goes on.", highlight=False)
    console.out(f"Run folder: {run.path}", highlight=False)
    contents = "config.json, metrics.csv, report.json, tensorboard/, checkpoints/, demonstrations/, episodes/ ..."
    console.out(f"  {contents}, {', '.join(figures)}", highlight=False)
    if as_json:
        print(json.dumps({**status, "report": summaries, "figures": figures}), file=stdout)


def command_line() -> None:
    """What the shell calls."""
    if sys.stdout is None:
        sys.exit("error: standard output is closed; send it to a file, or to /dev/null")
    app()


if __name__ == "__main__":
    command_line()
