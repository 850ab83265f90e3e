"""A scenario as the XML files that SUMO's own programs read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import quoteattr

import numpy as np

from sumo_marl_env.scenarios.demand import BackgroundVehicle
from sumo_marl_env.scenarios.scenario import Scenario
from sumo_marl_env.types import Trip

Agents = Literal["none", "trips", "rerouting"]


def write_traffic(
    path: Path, scenario: Scenario, background: Sequence[BackgroundVehicle], *, agents: Agents = "none"
) -> None:
    """A route file of vehicles that begin at a standstill, as those do that the env adds.

    Args:
        path: the file to write.
        scenario: whose agents and network.
        background: vehicles with whole routes; none are written if it is empty.
        agents: whether the agents are in it too: as trips to their destination zone, in order of departure and by their
            `numbered` names; or by their own names and with a rerouting device, in the order in which the env adds
            vehicles. SUMO draws their drivers in that order, and reads such a file only as a whole (`--route-steps 0`).
    """
    edges = scenario.network.edge_ids
    rows = [
        (other.depart_s, f'<vehicle id="background_{index}" depart="{other.depart_s:.2f}" departLane="random" '
         f'departPos="random_free" departSpeed="0"><route edges={_attribute([edges[edge] for edge in other.route])}/>'
         '</vehicle>')
        for index, other in enumerate(background)
    ]  # fmt: skip
    if agents != "none":
        device = '<param key="has.rerouting.device" value="true"/>' if agents == "rerouting" else ""
        rows += [
            (trip.depart_s, _agent(scenario, trip, trip.agent if device else numbered(row), device))
            for row, trip in enumerate(scenario.trips)
        ]
    if agents != "rerouting":
        rows.sort(key=lambda row: row[0])
    path.write_text("\n".join(["<routes>", *(row for _, row in rows), "</routes>\n"]))


def write_zones(path: Path, scenario: Scenario) -> None:
    """One zone for each destination: all edges that end at the junction, because agents may arrive by any of them."""
    network = scenario.network
    zones = []
    for junction in sorted({trip.destination for trip in scenario.trips}):
        ends = np.flatnonzero(network.edge_to == junction)
        sinks = "".join(f'<tazSink id={quoteattr(network.edge_ids[edge])} weight="1"/>' for edge in ends)
        zones.append(f'<taz id="to_{junction}">{sinks}</taz>')
    path.write_text("\n".join(["<additional>", *zones, "</additional>\n"]))


def numbered(row: int) -> str:
    """The vehicle of the agent in this row, where the agent's own name may not do: duaIterate writes Latin-1."""
    return f"vehicle_{row}"


def _agent(scenario: Scenario, trip: Trip, name: str, device: str) -> str:
    origin = quoteattr(scenario.network.edge_ids[trip.origin_edge])
    return (
        f'<trip id={quoteattr(name)} depart="{trip.depart_s:.3f}" from={origin} toTaz="to_{trip.destination}" '
        f'departLane="best" departPos="base" departSpeed="0">{device}</trip>'
    )


def _attribute(edges: Sequence[str]) -> str:
    return quoteattr(" ".join(edges))
