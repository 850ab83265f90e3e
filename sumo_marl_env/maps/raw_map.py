"""The whole map, before islands and roads that lead nowhere are cut off."""

from __future__ import annotations

import re
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from sumo_marl_env.files import open_unpacked, xml_elements
from sumo_marl_env.maps.network import VEHICLE_CLASS

_NOTE = re.compile(rb"<!-- sumo_marl_env: of (\d+) drivable edges; ([\d.e-]+) unreachable -->")
_NOTE_WITHIN = 10_000
"""Bytes at the beginning of a file; netconvert says there how it was called."""


@dataclass(frozen=True)
class RawMap:
    """What a SUMO network file holds for cars.

    Attributes:
        edges: number of edges that a car may use.
        unreachable_share: share of the ordered pairs of different junctions, the first with a way out and the second
            with a way in, between which lane connections give no route.
    """

    edges: int
    unreachable_share: float

    @property
    def note(self) -> str:
        """A comment that says the same in a network from which islands have been removed."""
        return f"<!-- sumo_marl_env: of {self.edges} drivable edges; {self.unreachable_share!r} unreachable -->"

    @classmethod
    def of(cls, net_file: Path) -> RawMap:
        """What the note in `net_file` says; if there is none, what the file holds."""
        with open_unpacked(net_file) as file:
            noted = _NOTE.search(file.read(_NOTE_WITHIN))
        return cls(int(noted[1]), float(noted[2])) if noted else cls.read(net_file)

    @classmethod
    def read(cls, net_file: Path) -> RawMap:
        """Read the edges and connections of `net_file`, an existing SUMO network, which may be compressed (.gz)."""
        ends: dict[str, tuple[str, str]] = {}
        drivable_lanes: set[tuple[str, str]] = set()
        links: list[tuple[str, str, str, str]] = []
        for element in xml_elements(net_file):
            if element.tag == "edge":
                if element.get("function") in (None, "normal"):
                    lanes = [lane.get("index", "") for lane in element.iter("lane") if _allows_cars(lane)]
                    if lanes:
                        ends[element.attrib["id"]] = (element.get("from", ""), element.get("to", ""))
                        drivable_lanes.update((element.attrib["id"], lane) for lane in lanes)
                element.clear()
            elif element.tag == "connection":
                link = element.attrib
                links.append((link["from"], link["fromLane"], link["to"], link["toLane"]))
        index = {edge: row for row, edge in enumerate(ends)}
        connections = {
            (index[start], index[end])
            for start, start_lane, end, end_lane in links
            if {(start, start_lane), (end, end_lane)} <= drivable_lanes
        }
        return cls(len(ends), _unreachable_share(list(ends.values()), connections))


def _unreachable_share(ends: list[tuple[str, str]], connections: set[tuple[int, int]]) -> float:
    """See `RawMap.unreachable_share`.

    Args:
        ends: per edge, the junctions it leads from and to.
        connections: pairs of edges (rows of `ends`).
    """
    if not ends:
        return 0.0
    origins = {start for start, _ in ends}
    junctions = {junction: bit for bit, junction in enumerate(dict.fromkeys(end for _, end in ends))}
    component, successors = _components(len(ends), np.array(sorted(connections), np.int32).reshape(-1, 2))
    # Sets of junctions as bits of an integer: exact, and small even for a whole city.
    reached = [0] * len(successors)
    for edge, (_, end) in enumerate(ends):
        reached[component[edge]] |= 1 << junctions[end]
    # With the successors given as predecessors, each component comes after those it leads to.
    for one in TopologicalSorter(successors).static_order():
        for following in successors[one]:
            reached[one] |= reached[following]
    by_origin = dict.fromkeys(origins, 0)
    for edge, (start, _) in enumerate(ends):
        by_origin[start] |= reached[component[edge]]
    pairs = reachable = 0
    for origin, found in by_origin.items():
        itself = 1 << junctions[origin] if origin in junctions else 0
        pairs += len(junctions) - bool(itself)
        reachable += (found & ~itself).bit_count()
    return 1.0 - reachable / pairs if pairs else 0.0


def _components(num_edges: int, connections: NDArray[np.int32]) -> tuple[list[int], dict[int, set[int]]]:
    """The strongly connected component of each edge, and the components that each component leads to."""
    graph = csr_array((np.ones(len(connections)), (connections[:, 0], connections[:, 1])), shape=(num_edges, num_edges))
    count, labels = connected_components(graph, directed=True, connection="strong")
    component = labels.tolist()
    successors: dict[int, set[int]] = {one: set() for one in range(count)}
    for edge, following in connections.tolist():
        if component[edge] != component[following]:
            successors[component[edge]].add(component[following])
    return component, successors


def _allows_cars(lane: ElementTree.Element) -> bool:
    allow, disallow = lane.get("allow"), lane.get("disallow", "")
    if allow is not None:
        return bool({VEHICLE_CLASS, "all"} & set(allow.split()))
    return not {VEHICLE_CLASS, "all"} & set(disallow.split())
