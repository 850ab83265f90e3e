"""A rectangle in geographic coordinates, and the part of an OpenStreetMap file inside it."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

from sumo_marl_env.errors import NetworkError

EARTH_RADIUS_KM = 6371.0088
ORDER = "WEST,SOUTH,EAST,NORTH"


@dataclass(frozen=True)
class BoundingBox:
    """Degrees of longitude (west, east) and latitude (south, north).

    Raises:
        NetworkError: if a number is out of range or the box is empty.
    """

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, astuple(self))):
            raise NetworkError(f"bounding box {self} must be four finite numbers of degrees: {ORDER}")
        if max(abs(self.west), abs(self.east)) > 180 or max(abs(self.south), abs(self.north)) > 90:
            raise NetworkError(
                f"bounding box {self} leaves the globe: longitudes are -180 to 180, latitudes -90 to 90, in the order "
                f"{ORDER}"
            )
        if self.west >= self.east or self.south >= self.north:
            raise NetworkError(
                f"bounding box {self} is empty: west must be less than east and south less than north, in the order "
                f"{ORDER}"
            )

    @classmethod
    def parse(cls, text: str) -> BoundingBox:
        """Read "WEST,SOUTH,EAST,NORTH".

        Raises:
            NetworkError: if that is not four numbers, or no box.
        """
        try:
            west, south, east, north = map(float, text.split(","))
        except ValueError as error:
            raise NetworkError(
                f"{text!r} is not a bounding box; give four numbers of degrees as {ORDER}, such as "
                "-81.3862,28.5352,-81.3718,28.5479"
            ) from error
        return cls(west, south, east, north)

    def __str__(self) -> str:
        return ",".join(f"{degrees:.7f}".rstrip("0").rstrip(".") for degrees in astuple(self))

    @property
    def area_km2(self) -> float:
        """Area on the globe, taken as a sphere."""
        height = math.sin(math.radians(self.north)) - math.sin(math.radians(self.south))
        return EARTH_RADIUS_KM**2 * math.radians(self.east - self.west) * height

    def contains(self, longitude: float, latitude: float) -> bool:
        return self.west <= longitude <= self.east and self.south <= latitude <= self.north


def crop_osm(path: Path, bbox: BoundingBox, output: Path) -> None:
    """Write the roads of `path` inside `bbox` to `output`.

    Roads are cut at their last node inside, so that the network lies wholly within the box: netconvert's own
    keep-edges.in-geo-boundary keeps each crossing road to its end, which doubles the area of a 3 km2 crop. A road that
    leaves the box and comes back becomes several; turn restrictions follow the first part.

    Raises:
        NetworkError: if no road has two neighbouring nodes inside.
    """
    inside = {node for node, longitude, latitude in _nodes(path) if bbox.contains(longitude, latitude)}
    pieces = _pieces(path, inside)
    if not pieces:
        raise NetworkError(
            f"{path} has no drivable road inside the bounding box {bbox}. Choose a box within the map, in the order "
            f"{ORDER}."
        )
    to_write = set(pieces)
    used = {node for runs in pieces.values() for run in runs for node in run}
    # netconvert names the way back along a road with a minus.
    free_id = max(abs(int(way)) for way in pieces) + 1
    with output.open("wb") as file:
        file.write(b"<?xml version='1.0' encoding='UTF-8'?>\n<osm version='0.6'>\n")
        bounds = f"minlat='{bbox.south}' minlon='{bbox.west}' maxlat='{bbox.north}' maxlon='{bbox.east}'"
        file.write(f"<bounds {bounds}/>\n".encode())
        for element in _nodes_first(path):
            name = element.get("id", "")
            if element.tag == "node" and name in used:
                _write(file, element)
            elif element.tag == "way" and name in to_write:
                to_write.remove(name)
                for run in pieces[name]:
                    _write(file, _piece(element, run))
                    element.set("id", str(free_id))
                    free_id += 1
            elif element.tag == "relation" and _is_whole_restriction(element, {"node": used, "way": pieces}):
                _write(file, element)
        file.write(b"</osm>\n")


def has_nodes_after_ways(path: Path) -> bool:
    """Whether some nodes come after ways, as Overpass writes them for some queries; netconvert does not find them."""
    tags = (element.tag for element in _elements(path))
    # One pass: what looks for a node begins after the first way.
    return "way" in tags and "node" in tags


def sort_osm(path: Path, output: Path) -> None:
    """Write a map to `output` with its nodes first."""
    with output.open("wb") as file:
        file.write(b"<?xml version='1.0' encoding='UTF-8'?>\n<osm version='0.6'>\n")
        for element in _nodes_first(path):
            _write(file, element)
        file.write(b"</osm>\n")


def _nodes_first(path: Path) -> Iterator[ElementTree.Element]:
    yield from (element for element in _elements(path) if element.tag == "node")
    yield from (element for element in _elements(path) if element.tag != "node")


def _elements(path: Path) -> Iterator[ElementTree.Element]:
    """The children of the root one by one; a child is gone when the next one is asked for."""
    depth, root = 0, None
    for event, element in ElementTree.iterparse(path, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if root is None:
            root = element
        elif event == "end" and depth == 1:
            yield element
            root.clear()


def _nodes(path: Path) -> Iterator[tuple[str, float, float]]:
    for element in _elements(path):
        if element.tag == "node":
            try:
                yield element.attrib["id"], float(element.attrib["lon"]), float(element.attrib["lat"])
            except (KeyError, ValueError) as error:
                raise NetworkError(
                    f"{path}: node {element.get('id')} has no usable id, lat and lon. Download the map again."
                ) from error


def _roads(path: Path) -> Iterator[tuple[str, list[str]]]:
    for element in _elements(path):
        name = element.get("id", "")
        if element.tag == "way" and any(tag.get("k") == "highway" for tag in element.iter("tag")):
            if not name.removeprefix("-").isdecimal():
                raise NetworkError(f"{path}: a way has the id {name!r}, not a number. Download the map again.")
            yield name, [reference.get("ref", "") for reference in element.iter("nd")]


def _pieces(path: Path, inside: set[str]) -> dict[str, list[list[str]]]:
    """The runs of each road by its id. If several have one id, the first counts, as for netconvert."""
    pieces: dict[str, list[list[str]]] = {}
    for way, nodes in _roads(path):
        pieces.setdefault(way, _runs(nodes, inside))
    return {way: runs for way, runs in pieces.items() if runs}


def _runs(nodes: list[str], inside: set[str]) -> list[list[str]]:
    """The stretches of at least two neighbouring nodes inside."""
    runs: list[list[str]] = [[]]
    for node in nodes:
        if node in inside:
            runs[-1].append(node)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if len(run) > 1]


def _piece(way: ElementTree.Element, run: list[str]) -> ElementTree.Element:
    piece = ElementTree.Element("way", way.attrib)
    piece.extend(ElementTree.Element("nd", ref=node) for node in run)
    piece.extend(way.iter("tag"))
    return piece


def _is_whole_restriction(relation: ElementTree.Element, kept: Mapping[str, Container[str]]) -> bool:
    """Whether it is a turn restriction all of whose members (by type) are kept."""
    is_restriction = any(tag.get("k") == "type" and tag.get("v") == "restriction" for tag in relation.iter("tag"))
    return is_restriction and all(
        member.get("ref") in kept.get(member.get("type", ""), ()) for member in relation.iter("member")
    )


def _write(file: BinaryIO, element: ElementTree.Element) -> None:
    element.tail = "\n"
    file.write(ElementTree.tostring(element, encoding="utf-8"))
