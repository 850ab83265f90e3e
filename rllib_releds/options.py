"""Options that several commands of `reled` have: which world, how the model is called, where its replies lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rllib_releds.demonstrations.models.chat import MODEL_SETTINGS
from rllib_releds.experiments.methods import METHODS
from rllib_releds.files import absolute_file
from sumo_marl_env import DEMANDS, SCENARIOS

DEFAULT_SCENARIO = "gridtown"

ScenarioOption = Annotated[
    str | None,
    typer.Option(help=f"{', '.join(SCENARIOS)}, or a scenario file (.json); by default {DEFAULT_SCENARIO}."),
]
NetworkOption = Annotated[Path | None, typer.Option(help="An .osm or .net.xml file instead of a built-in town.")]
DemandOption = Annotated[
    str | None, typer.Option(help=f"Background traffic: {', '.join(DEMANDS)}, or a SUMO route file.")
]
AgentsOption = Annotated[int | None, typer.Option(min=1, help="Number of vehicles that learn.")]
LlmOptions = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help=f"How the model is called and what it may cost; may be repeated. {', '.join(MODEL_SETTINGS)}.",
    ),
]
RecordOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Keep the model's replies; what is there is not asked again.")
]
ReplayOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Recorded replies answer in the model's place; needs no key.")
]


def world(scenario: str | None, network: Path | None, demand: str | None, agents: int | None) -> dict[str, Any]:
    """What the options say, as settings; files by their absolute paths, so that a command goes on from anywhere.

    Raises:
        BadParameter: if there is a scenario and a network.
    """
    if scenario is not None and network is not None:
        raise typer.BadParameter("give --scenario or --network, not both")
    return {
        "scenario": absolute_file(scenario or DEFAULT_SCENARIO),
        "network": None if network is None else network.absolute(),
        "demand": absolute_file(demand),
        "num_agents": agents,
    }


def refuse_llm(context: typer.Context, name: str) -> None:
    """Raises BadParameter if --llm is given with a method that says itself who demonstrates, or that nobody does."""
    source = context.get_parameter_source("llm")
    # By its name: typer brings a click of its own.
    is_given = source is not None and source.name == "COMMANDLINE"
    if is_given and name in METHODS and (fixed := METHODS[name].demonstrations) != "chosen":
        raise typer.BadParameter(f"with --method {name} {fixed or 'nobody'} demonstrates; leave out --llm")
