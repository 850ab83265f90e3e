"""Writes the two synthetic towns as OpenStreetMap files: `python networks/make_towns.py [FOLDER]`.

Both are invented from the figures of two published networks (regulated intersections, edges, area) and contain no
map data of anybody. They lie in the sea where the equator meets 3 degrees east, so that nobody takes them for a place.
The script is deterministic: it writes the same bytes everywhere.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import quoteattr

Node = tuple[int, int]
"""Column and row of a crossing, both from 0 in the south west."""

METRES_PER_DEGREE_LON = 111_320.0
METRES_PER_DEGREE_LAT = 110_574.0
CENTRE_LON = 3.0
"""The central meridian of a UTM zone: north is up in the imported network, and metres stay metres."""


@dataclass(frozen=True)
class RoadClass:
    """Tags of a kind of road: OSM highway value, lanes in each direction, speed limit in km/h."""

    highway: str
    lanes: int
    maxspeed_kmh: int


@dataclass(frozen=True)
class Segment:
    """A stretch of road from one crossing to the next, in the direction of travel if it is one-way."""

    start: Node
    end: Node
    street: str
    road: RoadClass
    is_two_way: bool = False


@dataclass(frozen=True)
class Town:
    """The plan of a town: a grid of alternating one-way streets inside a clockwise ring road.

    Attributes:
        name: name of the town and of its file.
        columns: number of north-south streets, even, so that the ring closes.
        rows: number of east-west streets, even.
        block_x_m: distance of two columns.
        block_y_m: distance of two rows.
        ring: road class of the four outer streets.
        arterial: road class of the inner main streets.
        street: road class of all others.
        arterial_rows: rows that are main streets, two-way.
        arterial_columns: columns that are main streets, two-way.
        num_edges: directed edges wanted; streets are interrupted until so many are left. None keeps all.
        jitter_m: how far a crossing may lie from its place in the grid, in each direction.
        seed: for interruptions and jitter.
    """

    name: str
    columns: int
    rows: int
    block_x_m: float
    block_y_m: float
    ring: RoadClass
    arterial: RoadClass
    street: RoadClass
    arterial_rows: tuple[int, ...]
    arterial_columns: tuple[int, ...]
    num_edges: int | None = None
    jitter_m: float = 0.0
    seed: int = 0


GRIDTOWN = Town(
    name="gridtown",
    columns=12,
    rows=10,
    block_x_m=141.8,
    block_y_m=141.8,
    ring=RoadClass("unclassified", lanes=1, maxspeed_kmh=15),
    arterial=RoadClass("primary", lanes=1, maxspeed_kmh=20),
    street=RoadClass("residential", lanes=1, maxspeed_kmh=15),
    arterial_rows=(3, 6),
    arterial_columns=(2, 5, 8),
)

HARBOURTOWN = Town(
    name="harbourtown",
    columns=18,
    rows=8,
    block_x_m=177.0,
    block_y_m=174.0,
    ring=RoadClass("secondary", lanes=1, maxspeed_kmh=35),
    arterial=RoadClass("primary", lanes=1, maxspeed_kmh=35),
    street=RoadClass("residential", lanes=1, maxspeed_kmh=25),
    arterial_rows=(4,),
    arterial_columns=(9,),
    num_edges=239,
    jitter_m=25.0,
    seed=7,
)


def segments(town: Town) -> list[Segment]:
    """All stretches of road of the town."""
    plan = [*_streets(town)]
    return plan if town.num_edges is None else _interrupt(plan, town)


def _streets(town: Town) -> Iterator[Segment]:
    last_column, last_row = town.columns - 1, town.rows - 1
    for row in range(town.rows):
        nodes = [(column, row) for column in range(town.columns)]
        # Eastwards on odd rows: the southern edge of the ring runs west, the northern one east.
        yield from _street(
            nodes if row % 2 else nodes[::-1],
            f"{row + 1}. Row",
            *_road(town, row, (0, last_row), town.arterial_rows),
        )
    for column in range(town.columns):
        nodes = [(column, row) for row in range(town.rows)]
        yield from _street(
            nodes[::-1] if column % 2 else nodes,
            f"{column + 1}. Column",
            *_road(town, column, (0, last_column), town.arterial_columns),
        )


def _road(town: Town, index: int, ring: tuple[int, int], arterials: tuple[int, ...]) -> tuple[RoadClass, bool]:
    if index in ring:
        return town.ring, False
    return (town.arterial, True) if index in arterials else (town.street, False)


def _street(nodes: list[Node], name: str, road: RoadClass, is_two_way: bool) -> Iterator[Segment]:
    for start, end in pairwise(nodes):
        yield Segment(start, end, name, road, is_two_way)


def _interrupt(plan: list[Segment], town: Town) -> list[Segment]:
    """Take out stretches of side streets until the town has `num_edges` edges.

    No crossing falls below three arms (it would not be one), and every road keeps reaching every other one.
    """
    assert town.num_edges is not None
    draw = random.Random(town.seed)
    candidates = [segment for segment in plan if segment.road == town.street]
    # random.shuffle may change between Python versions, random() does not.
    candidates.sort(key=lambda _: draw.random())
    kept = list(plan)
    # A corner of the ring is no junction: its two stretches are one edge.
    surplus = sum(1 + segment.is_two_way for segment in plan) - 4 - town.num_edges
    for candidate in candidates:
        if surplus <= 0:
            break
        rest = [segment for segment in kept if segment != candidate]
        if all(_arms(rest, node) >= 3 for node in (candidate.start, candidate.end)) and _is_connected(rest):
            kept, surplus = rest, surplus - 1
    return kept


def _arms(plan: list[Segment], node: Node) -> int:
    return sum(node in (segment.start, segment.end) for segment in plan)


def _is_connected(plan: list[Segment]) -> bool:
    """Whether every crossing reaches every other one."""
    forward = [(s.start, s.end) for s in plan] + [(s.end, s.start) for s in plan if s.is_two_way]
    nodes = {node for arc in forward for node in arc}
    backward = [(end, start) for start, end in forward]
    return len(_reached(forward)) == len(_reached(backward)) == len(nodes)


def _reached(arcs: list[tuple[Node, Node]]) -> set[Node]:
    following: dict[Node, list[Node]] = {}
    for start, end in arcs:
        following.setdefault(start, []).append(end)
    found, open_nodes = {(0, 0)}, [(0, 0)]
    while open_nodes:
        for node in following.get(open_nodes.pop(), []):
            if node not in found:
                found.add(node)
                open_nodes.append(node)
    return found


def _ways(plan: list[Segment]) -> list[tuple[Segment, list[Node]]]:
    """Consecutive segments of one street joined: its tags and the crossings that it passes."""
    ways: list[tuple[Segment, list[Node]]] = []
    for segment in plan:
        if ways and ways[-1][0].street == segment.street and ways[-1][1][-1] == segment.start:
            ways[-1][1].append(segment.end)
        else:
            ways.append((segment, [segment.start, segment.end]))
    return ways


def to_osm(town: Town) -> str:
    """The town as an OpenStreetMap XML document; every crossing of three or more arms has signals."""
    plan = segments(town)
    draw = random.Random(town.seed + 1)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<osm version="0.6" generator="make_towns.py">']
    for column in range(town.columns):
        for row in range(town.rows):
            x_m = column * town.block_x_m + (2 * draw.random() - 1) * town.jitter_m
            y_m = row * town.block_y_m + (2 * draw.random() - 1) * town.jitter_m
            lines += _node_lines((column, row), x_m, y_m, has_signal=_arms(plan, (column, row)) >= 3)
    for way_id, (segment, nodes) in enumerate(_ways(plan), start=1):
        lines += _way_lines(way_id, segment, nodes)
    return "\n".join([*lines, "</osm>", ""])


def _node_id(node: Node) -> int:
    return 1000 + 100 * node[0] + node[1]


def _node_lines(node: Node, x_m: float, y_m: float, *, has_signal: bool) -> list[str]:
    lon = f"{CENTRE_LON + x_m / METRES_PER_DEGREE_LON:.7f}"
    lat = f"{y_m / METRES_PER_DEGREE_LAT:.7f}"
    opening = f'  <node id="{_node_id(node)}" visible="true" version="1" lat="{lat}" lon="{lon}"'
    if not has_signal:
        return [opening + "/>"]
    return [opening + ">", '    <tag k="highway" v="traffic_signals"/>', "  </node>"]


def _way_lines(way_id: int, segment: Segment, nodes: list[Node]) -> list[str]:
    tags = {
        "highway": segment.road.highway,
        "name": segment.street,
        "lanes": str(segment.road.lanes * (1 + segment.is_two_way)),
        "maxspeed": str(segment.road.maxspeed_kmh),
        "oneway": "no" if segment.is_two_way else "yes",
    }
    return [
        f'  <way id="{way_id}" visible="true" version="1">',
        *(f'    <nd ref="{_node_id(node)}"/>' for node in nodes),
        *(f'    <tag k="{key}" v={quoteattr(value)}/>' for key, value in tags.items()),
        "  </way>",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent, help="where to write the files")
    folder = parser.parse_args().folder
    for town in (GRIDTOWN, HARBOURTOWN):
        path = folder / f"{town.name}.osm"
        path.write_text(to_osm(town), encoding="utf-8", newline="\n")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
