"""SUMO's own programs as child processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from sumo_marl_env.errors import SimulatorError


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
        result = subprocess.run(
            list(map(str, command)), cwd=folder, env=environment(), capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise SimulatorError(f"SUMO's {name} could not be started: {error}. Install eclipse-sumo again.") from error
    if result.returncode:
        raise SimulatorError(f"SUMO's {name} failed: {errors_in(result.stderr)}")
    return result.stderr


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
