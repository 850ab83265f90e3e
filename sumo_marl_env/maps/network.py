"""The road network as immutable arrays: junctions, edges, and the lane connections between edges.

Only the part in which every edge reaches every other one is kept (the largest strongly connected component of the
lane-connection graph), so no vehicle can drive into a dead end and every destination stays reachable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from sumo_marl_env.errors import NetworkError
from sumo_marl_env.files import XML_ERRORS, refuse_comma, xml_elements
from sumo_marl_env.maps.graphs import Graph, line_graph, road_graph
from sumo_marl_env.types import NodeID, Remade

VEHICLE_CLASS = "passenger"


@dataclass(frozen=True, eq=False)
class RoadNetwork(Remade):
    """J junctions, E directed edges and C connections; every index below is a row in these arrays.

    Attributes:
        name: the file's name without suffixes.
        net_file: the SUMO network (.net.xml) the arrays were read from; it may contain more than the arrays.
        junction_ids: J SUMO ids.
        junction_xy: (J, 2) float64, metres.
        junction_has_signal: (J,) bool.
        edge_ids: E SUMO ids.
        edge_types: E road types, such as `highway.primary`, or "" where the file has none.
        edge_from: (E,) int32, junction index at which the edge begins.
        edge_to: (E,) int32, junction index at which it ends.
        edge_length_m: (E,) float64.
        edge_speed_mps: (E,) float64, speed limit.
        edge_num_lanes: (E,) int32.
        connections: (C, 2) int32, (edge, following edge) for which some lane of the one leads to the other.
        edge_shapes: E arrays (k, 2) float64 of the edges' centre lines, metres.
    """

    name: str
    net_file: Path
    junction_ids: tuple[str, ...]
    junction_xy: NDArray[np.float64]
    junction_has_signal: NDArray[np.bool_]
    edge_ids: tuple[str, ...]
    edge_types: tuple[str, ...]
    edge_from: NDArray[np.int32]
    edge_to: NDArray[np.int32]
    edge_length_m: NDArray[np.float64]
    edge_speed_mps: NDArray[np.float64]
    edge_num_lanes: NDArray[np.int32]
    connections: NDArray[np.int32]
    edge_shapes: tuple[NDArray[np.float64], ...] = field(repr=False)

    def __post_init__(self) -> None:
        per_edge = ("edge_types", "edge_from", "edge_to", "edge_length_m", "edge_speed_mps", "edge_num_lanes")
        for ids, names in (("junction_ids", ("junction_xy", "junction_has_signal")), ("edge_ids", per_edge)):
            for name in names:
                if len(getattr(self, name)) != len(getattr(self, ids)):
                    raise NetworkError(f"{name} must have one row for each of the {len(getattr(self, ids))} {ids}")
        for value in (*vars(self).values(), *self.edge_shapes):
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    @property
    def num_junctions(self) -> int:
        return len(self.junction_ids)

    @property
    def num_edges(self) -> int:
        return len(self.edge_ids)

    @cached_property
    def free_flow_time_s(self) -> NDArray[np.float64]:
        """(E,) length over speed limit."""
        times_s = self.edge_length_m / self.edge_speed_mps
        times_s.flags.writeable = False
        return times_s

    @cached_property
    def diagonal_m(self) -> float:
        """Diagonal of the bounding box of the junctions."""
        return float(np.linalg.norm(np.ptp(self.junction_xy, axis=0)))

    @cached_property
    def area_km2(self) -> float:
        """Area of the bounding box of the junctions."""
        return float(np.prod(np.ptp(self.junction_xy, axis=0))) / 1e6

    @cached_property
    def outgoing(self) -> tuple[tuple[int, ...], ...]:
        """Per junction, the edges that leave it: entry k is the meaning of action k there."""
        edges: list[list[int]] = [[] for _ in range(self.num_junctions)]
        for edge, junction in enumerate(self.edge_from.tolist()):
            edges[junction].append(edge)
        return tuple(tuple(row) for row in edges)

    @cached_property
    def successors(self) -> tuple[tuple[int, ...], ...]:
        """Per edge, the edges that its lanes lead to."""
        edges: list[list[int]] = [[] for _ in range(self.num_edges)]
        for edge, following in self.connections.tolist():
            edges[edge].append(following)
        return tuple(tuple(row) for row in edges)

    @cached_property
    def max_outgoing(self) -> int:
        """m_out: the largest number of outgoing edges of a junction, the size of the action space."""
        return max(len(edges) for edges in self.outgoing)

    @cached_property
    def action_masks(self) -> NDArray[np.int8]:
        """(E, m_out) int8: for a vehicle on edge e, 1 for each slot of the junction ahead that its lanes lead to."""
        masks = np.zeros((self.num_edges, self.max_outgoing), np.int8)
        for edge, following in self.connections.tolist():
            masks[edge, self.slot(edge, following)] = 1
        masks.flags.writeable = False
        return masks

    @cached_property
    def slot_edges(self) -> NDArray[np.int32]:
        """(J, m_out) int32: each outgoing edge, -1 in absent slots."""
        rows = np.full((self.num_junctions, self.max_outgoing), -1, np.int32)
        for junction, edges in enumerate(self.outgoing):
            rows[junction, : len(edges)] = edges
        rows.flags.writeable = False
        return rows

    @cached_property
    def slot_ends(self) -> NDArray[np.int32]:
        """(J, m_out) int32: end junction of each outgoing edge, -1 in absent slots."""
        ends = np.where(self.slot_edges < 0, np.int32(-1), self.edge_to[self.slot_edges])
        ends.flags.writeable = False
        return ends

    def slot(self, edge: int, following: int) -> int:
        """Action slot of `following` at the end of `edge`; KeyError if no lane of the one leads to the other."""
        return self._slots[edge, following]

    @cached_property
    def _slots(self) -> dict[tuple[int, int], int]:
        ends = self.edge_to.tolist()
        return {
            (edge, following): self.outgoing[ends[edge]].index(following)
            for edge, followings in enumerate(self.successors)
            for following in followings
        }

    def distance_m(self, junction: NodeID, other: NodeID) -> float:
        """Euclidean distance between two junctions."""
        return float(np.linalg.norm(self.junction_xy[junction] - self.junction_xy[other]))

    @cached_property
    def edge_index(self) -> dict[str, int]:
        return {edge_id: index for index, edge_id in enumerate(self.edge_ids)}

    @cached_property
    def derived(self) -> dict[str, Any]:
        """What other modules keep of this network, for as long as it lives."""
        return {}

    @cached_property
    def junction_index(self) -> dict[str, NodeID]:
        return {junction_id: index for index, junction_id in enumerate(self.junction_ids)}

    def graph(self) -> Graph:
        """Junctions and roads, for graph networks; see `road_graph`."""
        return road_graph(self)

    def line_graph(self) -> Graph:
        """Roads and the lane connections between them, on which agents decide; see `graphs.line_graph`."""
        return line_graph(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> RoadNetwork:
        return self

    @classmethod
    def from_net_file(cls, path: Path | str) -> RoadNetwork:
        """Read a SUMO network.

        Raises:
            NetworkError: if the file is missing, is not a SUMO network, or has no strongly connected drivable part; or
                if there is a comma in its name, which SUMO would take for the end of it.
        """
        path = Path(path)
        raw = _read(path)
        keep = _largest_component(len(raw["ids"]), raw["connections"])
        if len(keep) < 2:
            raise NetworkError(
                f"{path} has no road network a {VEHICLE_CLASS} car can drive round in: only {len(keep)} of "
                f"{len(raw['ids'])} drivable edges are connected in both directions. Choose a larger or denser area."
            )
        return _restrict(path, raw, keep)


def _read(path: Path) -> dict:
    """Every edge that a passenger car may use, with the connections between them."""
    # sumolib takes 0.2 s to import and only this function needs it.
    from xml.sax import SAXException

    import sumolib

    if not path.is_file():
        raise NetworkError(f"no such network file: {path}")
    refuse_comma(path.absolute(), NetworkError, "rename the file or its folder")
    _check_root(path)
    try:
        net = sumolib.net.readNet(str(path), withInternal=False)
    except (SAXException, ValueError, LookupError, AttributeError, TypeError, OSError) as error:
        raise NetworkError(
            f"{path} is not a SUMO network ({error}). Import an .osm file with `sumo-marl import`."
        ) from error
    edges = sorted((e for e in net.getEdges(withInternal=False) if e.allows(VEHICLE_CLASS)), key=lambda e: e.getID())
    if not net.getEdges(withInternal=False):
        raise NetworkError(
            f"{path} has no road that leads anywhere: its roads are too few, or one-way without a way back. "
            "Choose a larger area."
        )
    if not edges:
        raise NetworkError(f"{path} has no road that a {VEHICLE_CLASS} car may use. Choose an area with streets.")
    index = {edge.getID(): row for row, edge in enumerate(edges)}
    connections = sorted(
        (row, index[following.getID()])
        for edge, row in ((edge, index[edge.getID()]) for edge in edges)
        for following, lane_links in edge.getOutgoing().items()
        if following.getID() in index and any(_drivable(link) for link in lane_links)
    )
    return {
        "edges": edges,
        "ids": [edge.getID() for edge in edges],
        "connections": np.array(connections, np.int32).reshape(-1, 2),
    }


def _drivable(link) -> bool:
    return link.getFromLane().allows(VEHICLE_CLASS) and link.getToLane().allows(VEHICLE_CLASS)


def _largest_component(num_edges: int, connections: NDArray[np.int32]) -> NDArray[np.intp]:
    """Rows of the largest strongly connected component of the edge graph."""
    graph = csr_array((np.ones(len(connections)), (connections[:, 0], connections[:, 1])), shape=(num_edges, num_edges))
    _, labels = connected_components(graph, directed=True, connection="strong")
    return np.flatnonzero(labels == np.bincount(labels).argmax())


def _check_root(path: Path) -> None:
    """sumolib finds no roads in a file of another kind, and says no more."""
    try:
        root = next(xml_elements(path, "start")).tag
    except (*XML_ERRORS, OSError, EOFError, StopIteration):
        # sumolib says what is wrong with it.
        return
    if root == "osm":
        raise NetworkError(f"{path} is an OpenStreetMap map: give it a name that ends in .osm")
    if root != "net":
        raise NetworkError(
            f"{path} is not a SUMO network (it begins with <{root}>). Import an .osm file with `sumo-marl import`."
        )


def _speed_mps(edge: Any) -> float:
    """The highest limit of the lanes that a car may use: sumolib's own is that of the last lane."""
    return max(lane.getSpeed() for lane in edge.getLanes() if lane.allows(VEHICLE_CLASS))


def _restrict(path: Path, raw: dict, keep: NDArray[np.intp]) -> RoadNetwork:
    edges = [raw["edges"][row] for row in keep]
    nodes = {node.getID(): node for edge in edges for node in (edge.getFromNode(), edge.getToNode())}
    junction_ids = sorted(nodes)
    junction_row = {junction: row for row, junction in enumerate(junction_ids)}
    new_row = np.full(len(raw["ids"]), -1, np.int32)
    new_row[keep] = np.arange(len(keep))
    connections = new_row[raw["connections"]]
    return RoadNetwork(
        name=path.name.removesuffix(".gz").removesuffix(".xml").removesuffix(".net"),
        net_file=path.absolute(),
        junction_ids=tuple(junction_ids),
        junction_xy=np.array([nodes[j].getCoord()[:2] for j in junction_ids], np.float64),
        junction_has_signal=np.array([nodes[j].getType().startswith("traffic_light") for j in junction_ids]),
        edge_ids=tuple(edge.getID() for edge in edges),
        edge_types=tuple(edge.getType() or "" for edge in edges),
        edge_from=np.array([junction_row[edge.getFromNode().getID()] for edge in edges], np.int32),
        edge_to=np.array([junction_row[edge.getToNode().getID()] for edge in edges], np.int32),
        edge_length_m=np.array([edge.getLength() for edge in edges], np.float64),
        edge_speed_mps=np.array([_speed_mps(edge) for edge in edges], np.float64),
        edge_num_lanes=np.array([edge.getLaneNumber() for edge in edges], np.int32),
        connections=connections[(connections >= 0).all(axis=1)],
        edge_shapes=tuple(np.array(edge.getShape(), np.float64)[:, :2] for edge in edges),
    )
