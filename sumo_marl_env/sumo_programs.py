"""SUMO's own programs as child processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from sumo_marl_env.errors import SimulatorError

PR_SET_PDEATHSIG = 1
"""Linux's `prctl` for a signal that a process gets when the thread that started it is gone."""

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def sumo_home() -> Path:
    """Folder of the SUMO that the `eclipse-sumo` wheel brings, with its `bin`, `data` and `tools`.

    Raises:
        SimulatorError: if it is missing.
    """
    # Importing it would set environment variables.
    spec = find_spec("sumo")
    locations = list(spec.submodule_search_locations or ()) if spec else []
    if not locations or not (Path(locations[0]) / "bin").is_dir():
        raise SimulatorError("SUMO's programs are missing: install the package eclipse-sumo.")
    return Path(locations[0])


def run_program(command: Sequence[str | Path], folder: Path) -> str:
    """Run one of SUMO's programs in `folder`.

    Returns:
        What it wrote to standard error.

    Raises:
        SimulatorError: if it cannot be started or fails, with its own error messages.
    """
    name = Path(command[0]).name
    try:
        with program(command, folder) as process:
            _, messages = process.communicate()
    except OSError as error:
        raise SimulatorError(f"SUMO's {name} could not be started: {error}. Install eclipse-sumo again.") from error
    if process.returncode:
        raise SimulatorError(f"SUMO's {name} failed: {errors_in(messages)}")
    return messages


@contextmanager
def program(
    command: Sequence[str | Path], folder: Path | None = None, stderr: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """One of SUMO's programs or tools at work, which ends with this process, however that ends.

    Args:
        command: program and arguments.
        folder: where it works; None is where this process does.
        stderr: as of `subprocess.Popen`; standard output goes to a pipe.
    """
    with subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
        preexec_fn=_end_with_parent,
    ) as process:
        try:
            yield process
        except BaseException:
            # With the programs that it has started itself, of which it is the group's first.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise


def _end_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def read_output(path: Path) -> ElementTree.Element:
    """Root of an XML file that one of SUMO's programs wrote. Raises SimulatorError if it is missing or not complete."""
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise incomplete(path, error) from error


def incomplete(path: Path, error: Exception) -> SimulatorError:
    """What to say of an output that cannot be read to its end: SUMO itself says nothing when a disk is full."""
    return SimulatorError(f"SUMO's output {path} is not complete ({error}): is the disk of {path.parent} full?")


def errors_in(output: str) -> str:
    """The error messages in a program's output, or the end of it if none are marked as such."""
    lines = output.splitlines()
    marked = [line.removeprefix("Error: ").strip() for line in lines if line.startswith("Error:")]
    return " ".join(dict.fromkeys(marked[:3])) or output.strip()[-500:] or "it said nothing"


def standard_error() -> int:
    """Where a child process may say something: to this one's standard error, or nowhere if that is closed."""
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return 2


def environment() -> dict[str, str]:
    """Environment variables of a child process that is one of SUMO's programs or tools."""
    home = sumo_home()
    return {**os.environ, "SUMO_HOME": str(home)} | dict.fromkeys(("PROJ_LIB", "PROJ_DATA"), str(home / "data/proj"))
