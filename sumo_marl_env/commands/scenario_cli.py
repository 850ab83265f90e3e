"""`sumo-marl scenario`: check and write scenario files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sumo_marl_env.commands.console import JsonOption, clean_output
from sumo_marl_env.errors import ScenarioError
from sumo_marl_env.scenarios.demand import DEMANDS
from sumo_marl_env.scenarios.scenario import SCENARIOS, BuiltIn, Scenario, make_scenario
from sumo_marl_env.scenarios.scenario_file import load_scenario
from sumo_marl_env.scenarios.scenario_saving import save_scenario
from sumo_marl_env.scenarios.trips import TRIP_PATTERNS

app = typer.Typer(help="Check and write scenario files.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE.json", help="A scenario file.")]


@app.command()
def check(file: FileArgument, as_json: JsonOption = False) -> None:
    """Say what a scenario file describes, or name every mistake in it."""
    with clean_output():
        figures = _figures(load_scenario(file))
    _show(file, figures, as_json)


@app.command()
def write(
    file: FileArgument,
    scenario: Annotated[
        str, typer.Option(help=f"Begin with: {', '.join(SCENARIOS)}, or a scenario file.")
    ] = "gridtown",
    network: Annotated[Path | None, typer.Option(help="An .osm or .net.xml file; it is copied beside FILE.")] = None,
    demand: Annotated[
        str | None, typer.Option(help=f"Background traffic: {', '.join(DEMANDS)}, or a SUMO route file (.rou.xml).")
    ] = None,
    agents: Annotated[int | None, typer.Option(min=1, help="Number of agents.")] = None,
    trips: Annotated[str | None, typer.Option(help=f"How to draw trips: {', '.join(TRIP_PATTERNS)}.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the drawn trips.")] = None,
    horizon: Annotated[float | None, typer.Option(help="Seconds after which an episode is cut off.")] = None,
    drawn: Annotated[bool, typer.Option("--drawn", help="Write how trips are drawn, and not each trip.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.json if it is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a scenario file to edit and share."""
    if drawn and scenario.endswith(".json"):
        raise typer.BadParameter("--drawn needs a built-in scenario: what a file says about its trips is kept in it")
    with clean_output():
        if file.exists() and not force:
            raise ScenarioError(f"{file} exists already; give another file, or --force to replace it")
        built = make_scenario(
            scenario, demand, agents, network=network, horizon_s=horizon, trips_seed=seed, trips=trips
        )
        how = None
        if drawn:
            pattern = trips or SCENARIOS.get(scenario, BuiltIn(scenario)).trips
            how = {"draw": pattern, "num_agents": len(built.trips), "seed": seed or 0}
        save_scenario(built, file, how)
        figures = _figures(load_scenario(file))
    _show(file, figures, as_json)


def _figures(scenario: Scenario) -> dict[str, Any]:
    departures = [trip.depart_s for trip in scenario.trips]
    return {
        "name": scenario.name,
        "network": scenario.network.name,
        "demand": scenario.demand.name,
        "agents": len(scenario.trips),
        "origins": len({trip.origin_edge for trip in scenario.trips}),
        "destinations": len({trip.destination for trip in scenario.trips}),
        "first_departure_s": min(departures),
        "last_departure_s": max(departures),
        "horizon_s": scenario.horizon_s,
    }


def _show(file: Path, figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"file": str(file), **figures}))
        return
    typer.echo(
        f"{file}: {figures['name']}, {figures['agents']} agents on {figures['network']} from {figures['origins']} "
        f"origins to {figures['destinations']} destinations, departing from {figures['first_departure_s']:g} to "
        f"{figures['last_departure_s']:g} s, {figures['demand']} traffic, horizon {figures['horizon_s']:g} s. "
        "It is fit to drive."
    )
