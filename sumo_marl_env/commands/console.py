"""What the commands share: clean output and common options."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from sumo_marl_env.errors import RoutingError

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]


def run(app: typer.Typer) -> None:
    """A whole command line. A standard output that is closed, or on a full disk, is one line and exit code 1."""
    if sys.stdout is None:
        sys.exit("error: standard output is closed; send it to a file, or to /dev/null")
    # An exception, so that files for the moment are removed and SUMO's programs end. Batch systems send it.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        app()
    except OSError as error:
        # What is left in buffers would fail again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(f"error: {error.filename or 'standard output'}: {error.strerror}")


@contextmanager
def clean_output() -> Iterator[None]:
    """Send what libraries print to standard error; an error of the user or the machine is one line and exit code 1."""
    sys.stdout.flush()
    standard_output = os.dup(1)
    # At the level of file descriptors, because SUMO writes past Python.
    os.dup2(2, 1)
    try:
        yield
    except BrokenPipeError as error:
        # `| head` has seen enough; what is left to write goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), standard_output)
        raise typer.Exit(0) from error
    except (RoutingError, OSError) as error:
        # Of the latter a full disk is the most likely one; it names the file.
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    finally:
        sys.stdout.flush()
        os.dup2(standard_output, 1)
        os.close(standard_output)
