"""How much traffic a road network bears, by its busiest lane.

Where a population asks a lane for more than it lets through, a queue grows, reaches back over the junctions behind it,
and locks up the whole map.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np

from sumo_marl_env.files import xml_elements
from sumo_marl_env.maps.network import RoadNetwork

SATURATION_PER_S = 0.5
"""Vehicles that leave a lane per second while it has green and nobody to yield to."""

_SHARES = {"M": 1.0, "=": 0.5, "m": 0.35, "s": 0.35, "w": 0.3}
_DEFAULT_SHARE = 0.3
"""What is left of that without a signal, by SUMO's letter for the right of way: a side street waits for gaps."""

_YIELDING_SHARE = 0.5
"""What is left of a green in which a vehicle must let others pass, such as the oncoming traffic on a left turn."""

MIN_SHARE = 0.05
"""A link that hardly ever gets green does not take all traffic from a map."""

_SIGNAL_DELAY_S, _JUNCTION_DELAY_S = 25.0, 5.0
"""What a junction adds to the time that a vehicle needs on empty roads."""

Lane = tuple[int, str]
"""Edge index and SUMO's number of the lane."""


def busiest_lane_load(network: RoadNetwork, routes: Sequence[Sequence[int]]) -> float:
    """Share of its capacity that the busiest lane would be asked for, per vehicle of a population.

    A rough figure: everybody drives without queues, and spreads over the lanes that lead to the next edge.

    Args:
        network: the road network.
        routes: a sample of what a vehicle of the population drives, as edge indices; long ones, of many trips.
    """
    links = _links(network)
    delay_s = np.where(network.junction_has_signal[network.edge_to], _SIGNAL_DELAY_S, _JUNCTION_DELAY_S)
    time_on_edge_s = network.free_flow_time_s + delay_s
    duration_s = sum(float(time_on_edge_s[list(route)].sum()) for route in routes)
    passes = Counter(pair for route in routes for pair in pairwise(route))
    load: defaultdict[Lane, float] = defaultdict(float)
    for (edge, following), count in passes.items():
        lanes = links[edge, following]
        for lane, capacity_per_s in lanes:
            load[edge, lane] += count / len(lanes) / capacity_per_s
    return max(load.values(), default=0.0) / duration_s


def _links(network: RoadNetwork) -> dict[tuple[int, int], list[tuple[str, float]]]:
    """Per connection (edge, following edge) the lanes that serve it, and vehicles per second that each lets pass."""
    links: dict[tuple[int, int], list[tuple[str, float]]] = {
        (edge, following): [] for edge, following in network.connections.tolist()
    }
    green_shares: dict[tuple[str | None, str | None], float] = {}
    for element in xml_elements(network.net_file):
        if element.tag == "tlLogic":
            green_shares.update(_green_shares(element))
        elif element.tag == "connection":
            link = element.attrib
            pair = network.edge_index.get(link["from"], -1), network.edge_index.get(link["to"], -1)
            if pair in links:
                without_signal = _SHARES.get(link["state"], _DEFAULT_SHARE)
                share = green_shares.get((link.get("tl"), link.get("linkIndex")), without_signal)
                links[pair].append((link["fromLane"], max(share, MIN_SHARE) * SATURATION_PER_S))
        # Children are read with their parent.
        if element.tag in ("edge", "junction", "tlLogic", "connection"):
            element.clear()
    return links


def _green_shares(program: ElementTree.Element) -> dict[tuple[str | None, str | None], float]:
    """By signal and number of a link, the share of the cycle in which it is green."""
    phases = [(float(phase.attrib["duration"]), phase.attrib["state"]) for phase in program.iter("phase")]
    cycle_s = sum(duration_s for duration_s, _ in phases)
    worth = {"G": 1.0, "g": _YIELDING_SHARE}
    greens_s: defaultdict[int, float] = defaultdict(float)
    for duration_s, lights in phases:
        for link, light in enumerate(lights):
            greens_s[link] += duration_s * worth.get(light, 0.0)
    return {(program.attrib["id"], str(link)): green_s / cycle_s for link, green_s in greens_s.items()}
