"""SUMO's netconvert, and the options with which it turns maps into networks."""

from __future__ import annotations

from pathlib import Path

from sumo_marl_env.errors import NetworkError
from sumo_marl_env.maps.network import VEHICLE_CLASS
from sumo_marl_env.sumo_programs import program, sumo_home

SIGNAL_CYCLE_S = 90

FLAGS = {
    "geometry.remove": "true",
    "ramps.guess": "true",
    "roundabouts.guess": "true",
    "junctions.join": "true",
    "tls.guess-signals": "true",
    "tls.discard-simple": "true",
    "tls.join": "true",
    "tls.cycle.time": str(SIGNAL_CYCLE_S),
    "keep-edges.by-vclass": VEHICLE_CLASS,
    "remove-edges.isolated": "true",
    # remove-edges.isolated alone keeps closed islands.
    "keep-edges.components": "1",
    "no-turnarounds.except-deadend": "true",
    "xml-validation": "never",
}
# Where the map has no speed limit, the second file sets that of a town instead of that of the country: a main street at
# 100 km/h gets no signal, and nobody can turn into it.
TYPE_MAPS = ("osmNetconvert.typ.xml", "osmNetconvertUrbanDe.typ.xml")
# Real maps tag few signals; this puts one wherever the streets that meet are fast enough together.
GUESSED_SIGNALS = {"tls.guess": "true", "tls.guess.threshold": "40"}

WITH_ISLANDS = {"keep-edges.components": "0"}
"""Nothing is cut off yet: to count what is."""

LEFT_HAND = {"lefthand": "true"}


def netconvert(source: Path, draft: Path, flags: dict[str, str], path: Path) -> None:
    """Make the network `draft` of the map `source`.

    Args:
        source: the map; no comma in its name.
        draft: the file to write.
        flags: options of netconvert by name.
        path: the file that the user gave, of which `source` may be a part; errors name it.

    Raises:
        NetworkError: if netconvert cannot read the map, or not write the whole network.
        SimulatorError: if it is missing.
    """
    home = sumo_home()
    command = [str(home / "bin" / "netconvert"), "--osm-files", str(source), "--output-file", str(draft)]
    command += ["--type-files", ",".join(str(home / "data" / "typemap" / name) for name in TYPE_MAPS)]
    command += [f"--{name}={value}" for name, value in flags.items()]
    with program(command) as process:
        _, messages = process.communicate()
    if process.returncode == 0 and draft.is_file():
        if not draft.read_bytes().rstrip().endswith(b"</net>"):
            raise NetworkError(
                f"netconvert could not write all of {path}'s network to {draft.parent}: is the disk full?"
            )
        return
    errors = [line.removeprefix("Error: ") for line in messages.splitlines() if line.startswith("Error")]
    if errors and all("No nodes loaded" in line or "No edges loaded" in line for line in errors):
        raise NetworkError(f"{path} has no drivable road for a {VEHICLE_CLASS} car. Choose another area.")
    raise NetworkError(f"netconvert cannot import {path}: {' '.join(errors) or messages.strip()[-500:]}")
