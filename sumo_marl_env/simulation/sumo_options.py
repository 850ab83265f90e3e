"""Options of SUMO's command line that users give: which are refused, and which the yardsticks share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sumo_marl_env.errors import SimulatorError

_REFUSED_OPTIONS = {
    "--step-length": "the env counts steps of one second",
    "--begin": "the env counts from time 0",
    "-b": "the env counts from time 0",
    "--configuration": "it could set anything; give its options one by one",
    "--configuration-file": "it could set anything; give its options one by one",
    "-c": "it could set anything; give its options one by one",
    **dict.fromkeys(("--remote-port", "--num-clients"), "the env itself tells SUMO what to do"),
    **dict.fromkeys(("--save-configuration", "-C", "--save-template", "--save-schema"), "SUMO would end at once"),
    **dict.fromkeys(("--help", "-?", "--version", "-V"), "SUMO would end at once"),
    **dict.fromkeys(("--route-files", "--routes", "-r"), "background traffic is the demand: give demand=FILE.rou.xml"),
    "--load-state": "the env counts from time 0, on empty roads",
    **dict.fromkeys(("--net-file", "--net", "-n"), "the scenario says which network it is"),
    "--seed": "episodes follow from the seed of reset",
    "--time-to-teleport": "the env sets it: agents that a jam holds for longer are out of it",
    "--random": "episodes follow from the seed of reset",
    "--max-depart-delay": "agents wait until there is room for them; the horizon ends it",
    "--mesosim": "the env follows vehicles that drive, and it moves queues",
    "--scale": "the demand says how much traffic there is",
    "--random-depart-offset": "trips say when agents depart",
}

_OUTPUTS = (
    *("--tripinfo", "--summary", "--vehroutes", "--netstate", "--netstate-dump", "--fcd", "--device.fcd."),
    *("--log", "-l", "--message-log", "--error-log", "--save-state", "--human-readable-time", "-H", "--device.ssm."),
)
"""What outputs without that word in their names begin with, and what changes what is in them."""

_LETTERS_WITH_VALUES = "aelX"
"""Of those that are not refused. What follows another letter, SUMO takes for further ones: -vb is -v and -b."""

_ADDITIONAL_FILES = ("-a", "--additional-files", "--additional")


def check_options(sumo_options: Sequence[str]) -> None:
    """Refuse what would change what the env relies on.

    Raises:
        SimulatorError: naming the option.
    """
    for option in sumo_options:
        name = _name(str(option))
        if name in _REFUSED_OPTIONS:
            raise SimulatorError(f"sumo_options must leave {name} alone: {_REFUSED_OPTIONS[name]}")
        if re.match(r"-[A-Za-z]{2}", str(option)) and name[1] not in _LETTERS_WITH_VALUES:
            raise SimulatorError(f"sumo_options must give each letter of {option} as an option of its own")


def _name(option: str) -> str:
    """Of an option, which SUMO also takes with a plus, or without a blank before the value of a letter: +r, -rFILE."""
    name = option.split("=")[0]
    if name.startswith("+"):
        name = f"-{name[1:]}" if len(name) == 2 else f"--{name[1:]}"
    return name[:2] if re.match(r"-[^-\d]", name) else name


def further_options(sumo_options: Sequence[str], own: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Of the env's options of SUMO those that say how vehicles drive, and its additional files.

    Files that the env writes are not to be written over, and what the yardstick sets itself is its own.
    """
    others, additional, is_kept = [], list[str](), True
    tokens = [part for option in map(str, sumo_options) for part in _name_and_value(option)]
    for row, token in enumerate(tokens):
        if re.match(r"--?[A-Za-z]", token):
            is_additional = token in _ADDITIONAL_FILES
            is_kept = not (is_additional or "output" in token or token.startswith(_OUTPUTS) or token in own)
            # None follows a name that SUMO itself will refuse.
            for files in tokens[row + 1 : row + 2] if is_additional else ():
                additional += files.split(",")
        if is_kept:
            others.append(token)
    return others, additional


def repeated_options(sumo_options: Sequence[str], own: Sequence[str] = ()) -> tuple[str, ...]:
    """Options with which vehicles drive again as they did, from any folder: without outputs and without `own`."""
    others, additional = further_options(sumo_options, own)
    files = ",".join(str(Path(file).absolute()) for file in additional)
    return (*others, *(("--additional-files", files) if files else ()))


def is_foreseeable(sumo_options: Sequence[str]) -> bool:
    """Whether vehicles keep to the map's limits, as they may not with additional files, and act in every second."""
    others, additional = further_options(sumo_options)
    return not additional and "--default.action-step-length" not in others


def _name_and_value(option: str) -> list[str]:
    """An option in the spelling with minus signs, apart from its value; several letters in one stay as they are."""
    name = _name(option)
    if name == "-a":
        return [part for part in (name, option[2:].removeprefix("=")) if part]
    if name.startswith("--"):
        return [name, *option.split("=", 1)[1:]]
    return [option]
