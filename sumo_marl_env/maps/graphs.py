"""The road network as graphs in arrays, in the layout that graph-network libraries take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.types import Remade

if TYPE_CHECKING:
    from sumo_marl_env.maps.network import RoadNetwork


@dataclass(frozen=True, eq=False)
class Graph(Remade):
    """A directed graph with N nodes and M arcs. Arrays are read-only.

    Attributes:
        edge_index: (2, M) int64: the node in which each arc begins, and the one in which it ends.
        node_features: (N, F) float32.
        node_fields: what the F columns are.
        edge_features: (M, G) float32.
        edge_fields: what the G columns are.
    """

    edge_index: NDArray[np.int64]
    node_features: NDArray[np.float32]
    node_fields: tuple[str, ...]
    edge_features: NDArray[np.float32]
    edge_fields: tuple[str, ...]

    def __post_init__(self) -> None:
        for value in (self.edge_index, self.node_features, self.edge_features):
            value.flags.writeable = False


_ROAD_FIELDS = ("length_m", "speed_mps", "num_lanes", "free_flow_time_s")


def road_graph(network: RoadNetwork) -> Graph:
    """Junctions are nodes, in the order of `junction_ids`; roads are arcs, in the order of `edge_ids`."""
    return Graph(
        edge_index=np.stack([network.edge_from, network.edge_to]).astype(np.int64),
        node_features=_columns(network.junction_xy, network.junction_has_signal),
        node_fields=("x_m", "y_m", "has_signal"),
        edge_features=_road_columns(network),
        edge_fields=_ROAD_FIELDS,
    )


def line_graph(network: RoadNetwork) -> Graph:
    """Roads are nodes, in the order of `edge_ids`; the lane connections between them are arcs.

    An agent is on a node, and each arc that leaves it is one of its valid actions: `slot`.
    """
    slots = [network.slot(edge, following) for edge, following in network.connections.tolist()]
    xy = network.junction_xy
    return Graph(
        edge_index=network.connections.T.astype(np.int64),
        node_features=_columns(_road_columns(network), xy[network.edge_from], xy[network.edge_to]),
        node_fields=(*_ROAD_FIELDS, "from_x_m", "from_y_m", "to_x_m", "to_y_m"),
        edge_features=_columns(np.array(slots)),
        edge_fields=("slot",),
    )


def _road_columns(network: RoadNetwork) -> NDArray[np.float32]:
    return _columns(network.edge_length_m, network.edge_speed_mps, network.edge_num_lanes, network.free_flow_time_s)


def _columns(*arrays: NDArray) -> NDArray[np.float32]:
    return np.column_stack(arrays).astype(np.float32)
