"""`reled`: train, resume, look at and evaluate runs.

With `--json` standard output holds exactly one JSON object; progress, tables and warnings go to standard error.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console
from rich.progress import Progress

from rllib_releds import demos_cli
from rllib_releds.console import (
    JsonOption,
    absolute_name,
    check_demonstrations,
    named_values,
    only_json_on_stdout,
    reported_errors,
    show,
)
from rllib_releds.demonstrations.chat import MODEL_SETTINGS
from rllib_releds.experiments.methods import METHODS
from rllib_releds.experiments.records import RunError, RunFolder
from rllib_releds.experiments.settings import TrainSettings
from rllib_releds.reproduction.cli import reproduce
from rllib_releds.tuning.cli import tune
from sumo_marl_env import DEMANDS, make_scenario, summary

app = typer.Typer(
    help="RELED: routing policies that learn from their own experience and from demonstrations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(demos_cli.app, name="demos")
app.command()(reproduce)
app.command()(tune)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
MinutesOption = Annotated[float | None, typer.Option(help="Stop after this many minutes; `reled resume` goes on.")]


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
    scenario: Annotated[
        str | None, typer.Option(help="gridtown (default), harbourtown, rush, or a scenario file (.json).")
    ] = None,
    network: Annotated[Path | None, typer.Option(help="An .osm or .net.xml file instead of a built-in town.")] = None,
    demand: Annotated[
        str | None, typer.Option(help=f"Background traffic: {', '.join(DEMANDS)}, or a SUMO route file.")
    ] = None,
    agents: Annotated[int | None, typer.Option(min=1, help="Number of vehicles that learn.")] = None,
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
    llm_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help=f"How the model is called and what it may cost; may be repeated. {', '.join(MODEL_SETTINGS)}.",
        ),
    ] = None,
    asynchronous: Annotated[
        bool, typer.Option("--asynchronous", help="Ask the model beside training: a slow or dead server costs no time.")
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep the model's replies; what is there is not asked again."),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Recorded replies answer in the model's place; needs no key.")
    ] = None,
    gate: Annotated[
        bool | None,
        typer.Option(
            "--gate/--no-gate",
            help="Whether each agent keeps the best version of its demonstration; by default as the method says.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, traffic, actions and subsets.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="New run folder; by default runs/<scenario>-<time>.")
    ] = None,
    env_runners: Annotated[int, typer.Option(min=0, help="Ray actors that sample; 0 samples in this process.")] = 0,
    minutes: MinutesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train RELED on a town or on a map of your own, then compare it with the yardsticks."""
    if scenario is not None and network is not None:
        raise typer.BadParameter("give --scenario or --network, not both")
    with reported_errors(), only_json_on_stdout() as stdout:
        settings = TrainSettings(
            scenario=_name_or_absolute(scenario or "gridtown", ".json"),
            network=None if network is None else network.absolute(),
            demand=None if demand is None else _name_or_absolute(demand, ".xml"),
            num_agents=agents,
            num_training_epochs=epochs,
            method=_known_method(method),
            demonstrations=None if llm == "none" else absolute_name(llm),
            llm=named_values(llm_option or []),
            asynchronous=asynchronous,
            record=None if record is None else record.absolute(),
            replay=None if replay is None else replay.absolute(),
            seed=seed,
            num_env_runners=env_runners,
            minutes=minutes,
            algorithm={} if gate is None else {"demonstration_gate": gate},
        )
        # Before the folder is made: a wrong map, demand or model leaves nothing behind.
        built = make_scenario(**settings.env_config())
        check_demonstrations(settings)
        folder = out or Path("runs") / f"{built.name}-{datetime.now():%Y%m%d-%H%M%S}"
        _train_and_report(RunFolder.create(folder, settings), as_json, stdout)


def _name_or_absolute(name: str, suffix: str) -> str:
    """A built-in name as it is; a file by its absolute path, for workers and for a resume from elsewhere."""
    return str(Path(name).absolute()) if name.endswith(suffix) else name


@app.command()
def resume(run: RunArgument, minutes: MinutesOption = None, as_json: JsonOption = False) -> None:
    """Go on with a run from its last finished epoch."""
    with reported_errors(), only_json_on_stdout() as stdout:
        folder = RunFolder.open(run)
        folder.update_settings(folder.settings.model_copy(update={"minutes": minutes}))
        _train_and_report(folder, as_json, stdout)


@app.command()
def status(run: RunArgument, as_json: JsonOption = False) -> None:
    """Say how far a run has come."""
    from rllib_releds.experiments.status import run_status

    with reported_errors(), only_json_on_stdout() as stdout:
        figures = run_status(RunFolder.open(run))
        show(figures, as_json, stdout)


@app.command()
def evaluate(
    run: RunArgument,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes, each with background traffic of its own.")] = 20,
    greedy: Annotated[bool, typer.Option(help="Take the most probable action in place of a drawn one.")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the first episode.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Drive with a run's newest policies and report reward, travel time and arrivals."""
    with reported_errors(), only_json_on_stdout() as stdout:
        from rllib_releds.experiments.evaluation import EVALUATION_SEED, evaluate_run

        _silence_libraries()
        folder = RunFolder.open(run)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("episodes", total=episodes)
            played = evaluate_run(
                folder,
                episodes,
                is_greedy=greedy,
                first_seed=EVALUATION_SEED if seed is None else seed,
                progress=lambda *_: progress.advance(task),
            )
        show(summary(played), as_json, stdout)


@app.command()
def export(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder; by default RUN/deployment/epoch_NNNNN.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write each agent's newest policy as ONNX, with an example that needs neither Ray nor torch."""
    with reported_errors("another `reled export`"), only_json_on_stdout() as stdout:
        from rllib_releds.deployment.export import export_run

        _silence_libraries()
        show(export_run(RunFolder.open(run), out), as_json, stdout)


def _known_method(name: str) -> str:
    if name not in METHODS:
        raise RunError(f"unknown method {name!r}; choose {', '.join(METHODS)}")
    return name


def _train_and_report(run: RunFolder, as_json: bool, stdout: TextIO) -> None:
    from rllib_releds.experiments.report import draw_figures, measure, report_table
    from rllib_releds.experiments.runner import train as train_run
    from rllib_releds.experiments.status import run_status

    _silence_libraries()
    console = Console(stderr=True) if as_json else Console(file=stdout)
    train_run(run, Console(stderr=True))
    with Console(stderr=True).status("comparing with the yardsticks"):
        summaries = measure(run)
        figures = draw_figures(run, summaries)
    console.print(report_table(run, summaries))
    status = run_status(run)
    if "last_failure" in status:
        counts = f"{status['failed_demonstration_cycles']} of {status['demonstration_cycles']}"
        console.print(
            f"{counts} demonstration cycles brought nothing; the last: {status['last_failure']}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    console.print(f"Run folder: {run.path}", highlight=False, soft_wrap=True)
    contents = "config.json, versions.json, metrics.csv, tensorboard/, checkpoints/, demonstrations/, episodes/"
    console.print(f"  {contents}, {', '.join(figures)}", highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps({**status, "report": summaries, "figures": figures}), file=stdout)


def _silence_libraries() -> None:
    """Leave out the advice of Ray and of torch's exporter to developers; their errors are raised.

    They set these levels when they are imported, so call this after that.
    """
    for name in ("ray", "ray.rllib", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    app()
