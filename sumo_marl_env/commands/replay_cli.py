"""`sumo-marl replay`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from sumo_marl_env.commands.console import JsonOption, clean_output
from sumo_marl_env.episode import Episode
from sumo_marl_env.errors import EpisodeError
from sumo_marl_env.maps.osm import BUILT_IN_NETWORKS
from sumo_marl_env.pictures.replay import Replay, recorded_scenario, simulate_again
from sumo_marl_env.pictures.replay_page import write_page
from sumo_marl_env.scenarios.demand import DEMANDS
from sumo_marl_env.scenarios.scenario import SCENARIOS, Scenario, make_scenario


def replay(
    episode: Annotated[Path, typer.Argument(metavar="EPISODE.npz", help="A recorded episode.")],
    output: Annotated[
        Path | None, typer.Option(metavar="PAGE.html", help="Where to write the page; by default beside the episode.")
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(help=f"Where it took place, if the record does not say: {', '.join(SCENARIOS)}, or a file."),
    ] = None,
    network: Annotated[
        Path | None, typer.Option(help="Where its .osm or .net.xml file is now, if it has been moved.")
    ] = None,
    demand: Annotated[
        str | None, typer.Option(help=f"Its traffic, if the record does not say: {', '.join(DEMANDS)}, or a file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a recorded episode as one HTML page: map, moving vehicles, time slider, rewards and travel times.

    The episode is simulated again from its seed and decisions, and compared with the record.
    """
    with clean_output():
        recorded = Episode.load(episode)
        page = episode.with_suffix(".html") if output is None else output
        if page.resolve() == episode.resolve():
            raise EpisodeError(f"{page} is the record itself, which would be lost; give another --output")
        again = _simulate(recorded, _scenario(recorded, scenario, network, demand))
        write_page(again, page)
    if again.differences:
        typer.echo(
            f"warning: simulated again, {len(again.differences)} of {len(recorded.trajectories)} agents fared "
            f"differently ({again.differences[0]}): the network, the traffic, the version of SUMO or its options are "
            "not those of the record. The page says so, too.",
            err=True,
        )
    if as_json:
        report = {"page": str(page), "bytes": page.stat().st_size, "is_faithful": not again.differences}
        typer.echo(json.dumps({**report, "differences": list(again.differences)}))
        return
    same = "" if again.differences else ", equal to the record"
    typer.echo(f"{page}: {recorded.scenario}, seed {recorded.seed}, {recorded.times_s[-1]:.0f} s{same}.")


def _scenario(recorded: Episode, scenario: str | None, network: Path | None, demand: str | None) -> Scenario:
    """What the record says, unless the user says otherwise; the trips are always the record's."""
    if scenario is None and (recorded.scenario_json or network is None):
        return recorded_scenario(recorded, network, demand)
    trips = tuple(trajectory.trip for trajectory in recorded)
    return make_scenario(scenario or BUILT_IN_NETWORKS[0], demand, network=network, trips=trips)


def _simulate(recorded: Episode, scenario: Scenario) -> Replay:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(escape(scenario.name), total=scenario.horizon_s)
        return simulate_again(recorded, scenario, lambda time_s: progress.update(task, completed=time_s))
