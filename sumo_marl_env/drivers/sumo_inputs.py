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
    """A route file in order of departure.

    Args:
        path: the file to write.
        scenario: whose agents and network.
        background: vehicles with whole routes; none are written if it is empty.
        agents: whether the agents are in it too: as trips to their destination zone, also with a rerouting device.
    """
    edges = scenario.network.edge_ids
    rows = [
        (other.depart_s, f'<vehicle id="background_{index}" depart="{other.depart_s:.2f}" departLane="random" '
         f'departPos="random_free"><route edges={_attribute([edges[edge] for edge in other.route])}/></vehicle>')
        for index, other in enumerate(background)
    ]  # fmt: skip
    if agents != "none":
        device = '<param key="has.rerouting.device" value="true"/>' if agents == "rerouting" else ""
        rows += [(trip.depart_s, _agent(scenario, trip, device)) for trip in scenario.trips]
    path.write_text("\n".join(["<routes>", *(row for _, row in sorted(rows, key=lambda row: row[0])), "</routes>\n"]))


def write_zones(path: Path, scenario: Scenario) -> None:
    """One zone for each destination: all edges that end at the junction, because agents may arrive by any of them."""
    network = scenario.network
    zones = []
    for junction in sorted({trip.destination for trip in scenario.trips}):
        ends = np.flatnonzero(network.edge_to == junction)
        sinks = "".join(f'<tazSink id={quoteattr(network.edge_ids[edge])} weight="1"/>' for edge in ends)
        zones.append(f'<taz id="to_{junction}">{sinks}</taz>')
    path.write_text("\n".join(["<additional>", *zones, "</additional>\n"]))


def _agent(scenario: Scenario, trip: Trip, device: str) -> str:
    origin = quoteattr(scenario.network.edge_ids[trip.origin_edge])
    return (
        f'<trip id={quoteattr(trip.agent)} depart="{trip.depart_s:.2f}" from={origin} toTaz="to_{trip.destination}" '
        f'departLane="best" departPos="base">{device}</trip>'
    )


def _attribute(edges: Sequence[str]) -> str:
    return quoteattr(" ".join(edges))
