"""The eight navigation functions of Table II, seen from one vehicle in a running episode.

`Navigator` answers the six queries and chooses the next edge for the two movements. Movements take simulated time, so
a `Navigator` cannot carry them out alone: the two `move_to_*` functions exist in programs, where they pause the program
until the vehicle is there (see `sumo_marl_env.instructions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Protocol

import numpy as np

from sumo_marl_env.errors import NoRouteError, UnknownJunctionError
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.maps.paths import ShortestPaths, shortest_paths
from sumo_marl_env.types import AgentID, NodeID, Trip


class NavigationFunctions(Protocol):
    """Table II. Signatures and docstrings are the one source of the function table in prompts."""

    def move_to_by_shortest_path(self, node_id: int) -> bool:
        """Drive to node_id along the path of least distance; returns True on arrival there, False if it cannot."""

    def move_to_by_shortest_time(self, node_id: int) -> bool:
        """Drive to node_id along the path of least travel time in live traffic; returns True on arrival, else False."""

    def get_origin(self) -> int:
        """Node id of this agent's origin."""

    def get_destination(self) -> int:
        """Node id of this agent's destination."""

    def get_shortest_dist(self, target_node_id: int) -> float:
        """Distance in metres of the shortest path from the junction ahead to target_node_id."""

    def get_shortest_time(self, target_node_id: int) -> float:
        """Travel time in seconds, in live traffic, of the fastest path from the junction ahead to target_node_id."""

    def get_nearest_node(self, x: float, y: float) -> int:
        """Node id closest to the coordinates (x, y), in metres."""

    def get_node_coord(self, node_id: int) -> tuple[float, float]:
        """Coordinates (x, y) of node_id, in metres."""


class LiveTraffic(Protocol):
    """What a navigator reads of a running simulation."""

    @property
    def live_paths(self) -> ShortestPaths:
        """Shortest paths by the current estimated travel times of all edges, shared by all agents."""

    def current_edge(self, agent: AgentID) -> int:
        """Edge index on which the agent's vehicle is (its origin edge before insertion)."""

    def driven_edges(self, agent: AgentID) -> Sequence[int]:
        """Edge indices that the agent's vehicle has driven, from its origin edge to the one on which it is."""


class Navigator:
    """One agent's view of the network and the live traffic.

    Args:
        network: the road network.
        trip: the agent's trip.
        traffic: the running simulation.
    """

    def __init__(self, network: RoadNetwork, trip: Trip, traffic: LiveTraffic) -> None:
        self.network = network
        self.trip = trip
        self._traffic = traffic

    @property
    def current_edge(self) -> int:
        return self._traffic.current_edge(self.trip.agent)

    @property
    def driven_edges(self) -> Sequence[int]:
        """Edges from the origin edge to the current one, also those that were too short for a decision."""
        return self._traffic.driven_edges(self.trip.agent)

    @property
    def approached_junction(self) -> NodeID:
        """The junction at the end of the edge on which the vehicle is."""
        return int(self.network.edge_to[self.current_edge])

    def get_origin(self) -> int:
        return self.trip.origin

    def get_destination(self) -> int:
        return self.trip.destination

    def get_shortest_dist(self, target_node_id: int) -> float:
        return self._cost_to_go(self._by_length(), target_node_id)

    def get_shortest_time(self, target_node_id: int) -> float:
        return self._cost_to_go(self._traffic.live_paths, target_node_id)

    def get_nearest_node(self, x: float, y: float) -> int:
        with np.errstate(over="ignore"):  # coordinates are any numbers: the farthest are infinitely far away
            distance = np.hypot(self.network.junction_xy[:, 0] - x, self.network.junction_xy[:, 1] - y)
        return int(np.argmin(distance))

    def get_node_coord(self, node_id: int) -> tuple[float, float]:
        self._check(node_id)
        x, y = self.network.junction_xy[node_id]
        return float(x), float(y)

    def action_by_shortest_path(self, target: NodeID) -> int:
        """Action slot of the next edge of the shortest path to `target`.

        Raises:
            NoRouteError: if there is none.
            UnknownJunctionError: if the network has no such junction.
        """
        return self._next_slot(self._by_length(), target)

    def action_by_shortest_time(self, target: NodeID) -> int:
        """Action slot of the next edge of the fastest path in live traffic to `target`; raises as above."""
        return self._next_slot(self._traffic.live_paths, target)

    def _by_length(self) -> ShortestPaths:
        return shortest_paths(self.network, "length")

    def _cost_to_go(self, paths: ShortestPaths, target: NodeID) -> float:
        self._check(target)
        return float(paths.cost_to_go(target)[self.current_edge])

    def _next_slot(self, paths: ShortestPaths, target: NodeID) -> int:
        self._check(target)
        edge = self.current_edge
        following = paths.next_edge(edge, target)
        if following is None:
            raise NoRouteError(
                f"{self.trip.agent} cannot reach junction {target} from edge {self.network.edge_ids[edge]!r}"
            )
        return self.network.slot(edge, following)

    def _check(self, junction: NodeID) -> None:
        # True is an int to Python.
        is_index = isinstance(junction, Integral) and not isinstance(junction, bool)
        if not is_index or not 0 <= junction < self.network.num_junctions:
            raise UnknownJunctionError(
                f"unknown junction {junction!r}; {self.network.name} has junctions 0 to "
                f"{self.network.num_junctions - 1}"
            )
