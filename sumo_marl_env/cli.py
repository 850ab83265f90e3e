"""`sumo-marl`: fetch and import maps, look at networks, measure simple drivers, and check the installation.

With `--json` standard output holds exactly one JSON object; progress, warnings and SUMO's own messages always go to
standard error.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Column, Table

from sumo_marl_env.commands.console import JsonOption, clean_output, run
from sumo_marl_env.commands.doctor_cli import doctor
from sumo_marl_env.commands.fetch_cli import fetch
from sumo_marl_env.commands.replay_cli import replay
from sumo_marl_env.commands.scenario_cli import app as scenario_app
from sumo_marl_env.drivers.equilibrium import EquilibriumDriver
from sumo_marl_env.drivers.yardsticks import (
    QUICK_YARDSTICKS,
    YARDSTICKS,
    Driver,
    run_yardstick,
    summary,
    yardstick_names,
)
from sumo_marl_env.episode import Episode
from sumo_marl_env.errors import ScenarioError
from sumo_marl_env.maps.bounding_box import ORDER, BoundingBox
from sumo_marl_env.maps.osm import BUILT_IN_NETWORKS, OSM_NOTICE, import_osm, is_from_osm, load_network
from sumo_marl_env.maps.published import PUBLISHED, compare
from sumo_marl_env.maps.verdict import ImportVerdict
from sumo_marl_env.routing_env import RoutingEnv
from sumo_marl_env.scenarios.demand import DEMANDS
from sumo_marl_env.scenarios.scenario import SCENARIOS, Scenario, make_scenario

app = typer.Typer(
    help="Maps and yardsticks for traffic routing in SUMO.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(fetch)
app.command()(doctor)
app.command()(replay)
app.add_typer(scenario_app, name="scenario")

SignalsOption = Annotated[
    bool | None,
    typer.Option(help="Add likely signals to an .osm file; by default if it has hardly any."),
]

_COLUMNS = {
    "mean_reward": ("reward", ".1f"),
    "mean_travel_time_s": ("travel time [s]", ".1f"),
    "arrival_rate": ("arrived", ".1%"),
    "lost": ("lost", "d"),
    "teleported": ("teleported", "d"),
    "stuck": ("stuck", "d"),
    "simulator_failed": ("SUMO failed", "d"),
}


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sumo-marl {metadata.version('rllib-releds')} (SUMO {metadata.version('eclipse-sumo')})")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print versions and exit.")
    ] = False,
) -> None:
    """Maps and yardsticks for traffic routing in SUMO."""


@app.command("import")
def import_map(
    file: Annotated[Path, typer.Argument(metavar="FILE.osm", help="An OpenStreetMap extract.")],
    output: Annotated[Path | None, typer.Option(help="Where to write the SUMO network (.net.xml).")] = None,
    bbox: Annotated[str | None, typer.Option(metavar=ORDER, help="Import only the roads inside, in degrees.")] = None,
    guess_signals: SignalsOption = None,
    left_hand: Annotated[bool, typer.Option("--left-hand", help="Vehicles keep to the left, as in Hong Kong.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Also drive ten vehicles through one episode on the map.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Turn an OpenStreetMap file into a SUMO network and say whether it is fit for routing.

    Without --output the network stays in the user's cache, where `--network FILE.osm` finds it again. What --bbox,
    --left-hand or --guess-signals make of the map needs --output FILE.net.xml to be used by other commands.
    """
    with clean_output():
        box = None if bbox is None else BoundingBox.parse(bbox)
        net_file = import_osm(file, output, bbox=box, guess_signals=guess_signals, left_hand=left_hand)
        verdict = ImportVerdict.of(load_network(net_file))
        drive = _dry_run(net_file) if dry_run else None
    notice = OSM_NOTICE if is_from_osm(file) else None
    report = {**verdict.to_dict(), "dry_run": drive, "licence": notice}
    if as_json:
        typer.echo(json.dumps(report))
        return
    typer.echo(verdict.in_words())
    if drive is not None:
        typer.echo(_dry_run_in_words(drive))
    typer.echo(f"Network: {net_file}")
    if notice:
        typer.echo(notice)


@app.command()
def inspect(
    network: Annotated[str, typer.Argument(help=f"{', '.join(BUILT_IN_NETWORKS)}, or an .osm or .net.xml file.")],
    compare_with: Annotated[
        str | None, typer.Option("--compare", help=f"Set beside the paper's figures: {', '.join(PUBLISHED)}.")
    ] = None,
    guess_signals: SignalsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the figures of a road network."""
    with clean_output():
        verdict = ImportVerdict.of(load_network(network, guess_signals=guess_signals))
        comparison = None if compare_with is None else compare(verdict, compare_with)
    if as_json:
        typer.echo(json.dumps(verdict.to_dict() | ({} if comparison is None else {"comparison": comparison})))
        return
    # Whole paths, also in a narrow terminal: people copy them.
    table = Table("figure", Column("value", overflow="fold"), title=verdict.name, show_header=False)
    for name, value in verdict.to_dict().items():
        if name not in ("name", "objections", "advice", "is_fit"):
            table.add_row(name.replace("_", " "), str(value))
    console = Console(markup=False, emoji=False)
    console.print(table)
    if comparison is not None:
        console.print(_comparison_table(verdict.name, str(compare_with), comparison))
    typer.echo(verdict.in_words())


@app.command()
def yardsticks(
    scenario: Annotated[
        str | None, typer.Option(help=f"A built-in scenario ({', '.join(SCENARIOS)}) or a scenario file (.json).")
    ] = None,
    network: Annotated[Path | None, typer.Option(help="An .osm or .net.xml file instead of a scenario.")] = None,
    demand: Annotated[
        str | None, typer.Option(help=f"Background traffic: {', '.join(DEMANDS)}, or a SUMO route file (.rou.xml).")
    ] = None,
    agents: Annotated[int | None, typer.Option(min=1, help="Number of vehicles to route.")] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes for each yardstick.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first episode; the others follow.")] = 0,
    names: Annotated[
        str, typer.Option("--yardsticks", metavar="A,B", help=f"Which of {', '.join(YARDSTICKS)}; or all.")
    ] = ",".join(QUICK_YARDSTICKS),
    as_json: JsonOption = False,
) -> None:
    """Measure simple drivers on the same trips, seeds and traffic.

    random; free_flow: fastest on empty roads; live: fastest in live traffic; rerouting: SUMO's own rerouting device;
    equilibrium: routes that no agent would leave alone, by SUMO's duaIterate (takes about half a minute, once).
    """
    if scenario is not None and network is not None:
        raise typer.BadParameter("give --scenario or --network, not both")
    with clean_output():
        chosen = yardstick_names(names)
        if not chosen:
            raise ScenarioError(f"no yardstick is chosen; choose {', '.join(YARDSTICKS)}, or all")
        built = make_scenario(scenario or BUILT_IN_NETWORKS[0], demand, agents, network=network)
        results = _measure(built, range(seed, seed + episodes), chosen)
    if as_json:
        report = {"scenario": built.name, "agents": len(built.trips), "horizon_s": built.horizon_s, "seed": seed}
        typer.echo(json.dumps({**report, "episodes": episodes, "yardsticks": results}))
        return
    Console(markup=False, emoji=False).print(_table(built, results))


def _measure(scenario: Scenario, seeds: range, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The summary of each yardstick, with a progress bar on standard error."""
    env = RoutingEnv(scenario)
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(escape(scenario.name), total=len(seeds) * len(names))
            learning = progress.add_task("learning the equilibrium", total=None, visible=False)

            def learnt(done: int, total: int) -> None:
                progress.update(learning, completed=done, total=total, visible=done < total)

            drivers: dict[str, str | Driver] = {name: name for name in names}
            if "equilibrium" in drivers:
                drivers["equilibrium"] = EquilibriumDriver(progress=learnt)
            return {
                name: _figures(run_yardstick(env, driver, seeds, lambda *_: progress.advance(task)))
                for name, driver in drivers.items()
            }
    finally:
        env.close()


def _figures(episodes: Sequence[Episode]) -> dict[str, Any]:
    """The summary, and for each seed what a comparison of one's own needs."""
    names = ("seed", "mean_reward", "mean_travel_time_s", "arrival_rate")
    return {**summary(episodes), "per_seed": [{name: getattr(one, name) for name in names} for one in episodes]}


def _dry_run(net_file: Path) -> dict[str, Any]:
    """What came of it, or the error that says why no trips can be drawn: the network is there all the same."""
    try:
        env = RoutingEnv(make_scenario(network=net_file))
    except ScenarioError as error:
        return {"error": str(error)}
    try:
        return summary(run_yardstick(env, "free_flow", [0]))
    finally:
        env.close()


def _dry_run_in_words(drive: dict[str, Any]) -> str:
    if "error" in drive:
        return f"No dry run: {drive['error']}."
    return (
        f"Dry run: {drive['arrival_rate']:.0%} of ten vehicles arrived, after {drive['mean_travel_time_s']:.0f} s on "
        f"average; {drive['lost']} lost, {drive['teleported']} teleported, {drive['stuck']} stuck."
    )


def _comparison_table(name: str, published: str, comparison: dict[str, dict[str, Any]]) -> Table:
    table = Table("figure", name, f"paper, {published}", "ratio", title="Beside the paper")
    for figure, values in comparison.items():
        table.add_row(figure.replace("_", " "), f"{values['here']}", f"{values['published']}", f"{values['ratio']:.2f}")
    return table


def _table(scenario: Scenario, results: dict[str, dict[str, Any]]) -> Table:
    table = Table(title=f"{scenario.name}, {len(scenario.trips)} agents")
    table.add_column("yardstick")
    # A terminal has room for one more column where there is something in it.
    has_failed = any(figures["simulator_failed"] for figures in results.values())
    columns = {key: column for key, column in _COLUMNS.items() if has_failed or key != "simulator_failed"}
    for heading, _ in columns.values():
        table.add_column(heading, justify="right")
    for name, figures in results.items():
        table.add_row(name, *(format(figures[key], style) for key, (_, style) in columns.items()))
    return table


def command_line() -> None:
    """What the shell calls."""
    run(app)


if __name__ == "__main__":
    command_line()
