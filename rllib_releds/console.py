"""What all commands of `reled` share: options as text, errors in one line, one JSON object on standard output."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console

from rllib_releds.demonstrations.callbacks import make_callback
from rllib_releds.demonstrations.errors import DemonstrationError
from rllib_releds.demonstrations.models.chat import MODEL_SETTINGS
from rllib_releds.demonstrations.models.providers import check_provider
from rllib_releds.errors import RolloutError, RunError
from rllib_releds.experiments.methods import METHODS
from rllib_releds.experiments.settings import TrainSettings
from sumo_marl_env import RoutingError, Scenario

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
BestOption = Annotated[
    bool, typer.Option("--best", help="The kept policies that earned most in training, in place of the newest.")
]


LLM_OPTION_USAGE = f"--llm-option takes NAME=VALUE, such as timeout_s=60; names: {', '.join(MODEL_SETTINGS)}"

_OWN_OPTIONS = {
    "demonstrations": "--llm",
    "asynchronous": "--asynchronous",
    "demonstration_gate": "--gate or --no-gate",
    "num_training_epochs": "--epochs",
}
"""Settings of the algorithm that have an option of their own."""


def named_values(options: list[str], usage: str = LLM_OPTION_USAGE) -> dict[str, str]:
    """`["temperature=0.2"]` as a dict. What is wrong is not shown: it may be a key.

    Raises:
        RunError: with the usage.
    """
    pairs = [option.partition("=") for option in options]
    if not all(name and sign for name, sign, _ in pairs):
        raise RunError(usage)
    return {name: value for name, _, value in pairs}


def algorithm_settings(options: list[str]) -> dict[str, Any]:
    """`["encoder=raw", "lr=1e-4"]` as settings of the algorithm: what JSON can read as it says, the rest as text.

    Raises:
        RunError: if one is not NAME=VALUE, or has an option of its own.
    """
    usage = "--set takes NAME=VALUE, such as encoder=raw; names: those of the algorithm's training(), see RELEDConfig"
    values = named_values(options, usage)
    for name in values:
        if name in _OWN_OPTIONS:
            raise RunError(f"--set {name}: give {_OWN_OPTIONS[name]} in its place")
    return {name: _read(value) for name, value in values.items()}


def _read(value: str) -> Any:
    try:
        plain = {"True": "true", "False": "false", "None": "null"}.get(value, value)
        return json.loads(plain, parse_constant=_refuse_constant)
    except ValueError:
        return value


def _refuse_constant(name: str) -> float:
    """NaN and Infinity are no numbers for a setting."""
    raise ValueError(name)


def check_demonstrations(settings: TrainSettings, scenario: Scenario | None = None) -> None:
    """Raises RunError, or DemonstrationError, if what a run is asked to demonstrate with cannot be used.

    Args:
        settings: of the run.
        scenario: what it will be trained on, where that is known already.
    """
    try:
        chat = settings.chat_settings()
        if chat is not None and settings.replay is None:
            check_provider(chat)
        if settings.demonstrator is not None:
            callback = make_callback(
                settings.demonstrator,
                settings=chat,
                record=settings.record,
                replay=settings.replay,
                **METHODS[settings.method].callback,
            )
            if scenario is not None:
                callback.check(scenario)
        elif settings.method != "RELED" and METHODS[settings.method].demonstrations == "chosen":
            raise ValueError(f"{settings.method} is about demonstrations; leave out --llm none, or take --method IPPO")
        elif "demonstration_gate" in settings.algorithm:
            raise ValueError("nobody demonstrates, so there is no gate to open or to close: leave out --gate")
        elif settings.asynchronous:
            raise ValueError(
                "nobody demonstrates, so there is nothing to ask for beside training: leave out --asynchronous"
            )
        elif settings.record or settings.replay:
            raise ValueError("nobody demonstrates, so there are no replies to record or to replay")
    except ValueError as error:
        raise RunError(str(error)) from error


def show(figures: dict[str, Any], as_json: bool, stdout: TextIO) -> None:
    """Figures as one JSON object, or one line each."""
    if as_json:
        print(json.dumps(figures), file=stdout)
        return
    for name, value in figures.items():
        is_fraction = isinstance(value, float) and not value.is_integer()
        shown = f"{value:.3f}" if is_fraction else f"{value:.0f}" if isinstance(value, float) else value
        print(f"{name.replace('_', ' '):24} {shown}", file=stdout)


def console_on(stdout: TextIO) -> Console:
    """For people; off a terminal it is so wide that no table is cut. Brackets, as in names of files, are no markup."""
    return Console(file=stdout, width=None if stdout.isatty() else 160, markup=False, emoji=False)


@contextmanager
def reported_errors(goes_on: str = "the same command") -> Iterator[None]:
    """Turn the errors that a user can mend into one line and exit code 1.

    Args:
        goes_on: the command that goes on after an interruption.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        with _exit_on_sigterm() as told_to_stop:
            yield
    except (RoutingError, RunError, DemonstrationError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    except BrokenPipeError as error:
        # `| head` has seen enough; what is left to write goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise typer.Exit(0) from error
    except PermissionError as error:
        typer.echo(f"error: {error.filename} cannot be used ({error.strerror}); give another place", err=True)
        raise typer.Exit(1) from error
    except (OSError, RolloutError, FloatingPointError) as error:
        typer.echo(f"error: {error}. What was finished is safe; mend that, then {goes_on}.", err=True)
        raise typer.Exit(1) from error
    except (SystemExit, KeyboardInterrupt) as end:
        if told_to_stop.is_set():
            typer.echo(f"told to stop; {goes_on} goes on after what was finished", err=True)
            raise typer.Exit(128 + signal.SIGTERM) from end
        if isinstance(end, SystemExit):
            raise
        typer.echo(f"interrupted; {goes_on} goes on after what was finished", err=True)
        raise typer.Exit(130) from end


@contextmanager
def _exit_on_sigterm() -> Iterator[threading.Event]:
    """Exit when told to stop, as batch systems do. Sets what it yields, as Ray puts an exit of its own in the place."""
    told_to_stop = threading.Event()

    def stop(number: int, frame: object) -> None:
        told_to_stop.set()
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield told_to_stop
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield told_to_stop
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextmanager
def only_json_on_stdout() -> Iterator[TextIO]:
    """Yield the real standard output; whatever libraries print meanwhile goes to standard error.

    At the level of file descriptors, because SUMO and Ray write past Python.
    """
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w") as stdout:
        os.dup2(2, 1)
        try:
            yield stdout
        finally:
            sys.stdout.flush()
            stdout.flush()
            os.dup2(stdout.fileno(), 1)


def silence_libraries() -> None:
    """Leave out the advice of Ray and of torch's exporter to developers; their errors are raised.

    They set these levels when they are imported, so call this after that.
    """
    for name in ("ray", "ray.rllib", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)
