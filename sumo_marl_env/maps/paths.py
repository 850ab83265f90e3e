"""Shortest paths over any edge cost: one tree per destination, computed on the edge graph and cached."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from sumo_marl_env.errors import UnknownJunctionError
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.types import NodeID


class ShortestPaths:
    """Shortest paths from every edge to a destination junction, under one cost per edge.

    Args:
        network: the road network.
        edge_cost: (E,) positive costs, such as metres or seconds. The array is copied.

    Raises:
        ValueError: if that is not one number per edge.
    """

    def __init__(self, network: RoadNetwork, edge_cost: NDArray[np.float64]) -> None:
        self.network = network
        if np.shape(edge_cost) != (network.num_edges,):
            raise ValueError(f"edge_cost has shape {np.shape(edge_cost)}, expected ({network.num_edges},)")
        self.edge_cost = np.maximum(edge_cost, 1e-6)
        # Paths are shared by all that asks for them.
        self.edge_cost.flags.writeable = False
        arcs = _reversed_arcs(network)
        # Every arc out of a row costs that row's edge. Made from parts, since live traffic needs one per decision.
        self._reversed = csr_array(arcs.shape)
        self._reversed.indices, self._reversed.indptr = arcs.indices, arcs.indptr
        self._reversed.data = np.repeat(self.edge_cost, np.diff(arcs.indptr))
        self._cost_to_go: dict[NodeID, NDArray[np.float64]] = {}
        # Tuples of numbers cost the garbage collector nothing; 500 lists for 3480 edges cost it 0.1 s a turn.
        self._next_edge: dict[NodeID, tuple[int, ...]] = {}

    def cost_to_go(self, destination: NodeID) -> NDArray[np.float64]:
        """(E,) cost from the END of each edge to `destination`; inf where there is no path.

        Raises:
            UnknownJunctionError: if there is no such junction.
        """
        if destination not in self._cost_to_go:
            last_edges = np.flatnonzero(self.network.edge_to == destination)
            if not len(last_edges):
                raise UnknownJunctionError(
                    f"no road of {self.network.name} leads to a junction {destination}: it has junctions 0 to "
                    f"{self.network.num_junctions - 1}"
                )
            cost_to_go = dijkstra(self._reversed, indices=last_edges, min_only=True)
            cost_to_go.flags.writeable = False
            self._cost_to_go[destination] = cost_to_go
        return self._cost_to_go[destination]

    def next_edge(self, edge: int, destination: NodeID) -> int | None:
        """The edge to take at the end of `edge`; None where there is no path. Ties go to the smallest index."""
        cost_to_go = self.cost_to_go(destination)
        best = min(self.network.successors[edge], key=lambda e: self.edge_cost[e] + cost_to_go[e], default=None)
        return None if best is None or not np.isfinite(cost_to_go[best]) else best

    def next_edges(self, destination: NodeID) -> tuple[int, ...]:
        """`next_edge` of every edge, cached; -1 where there is no path."""
        if destination not in self._next_edge:
            # (E, m_out): the edges after each edge, in the order of their indices, and what the way by them costs.
            options = self.network.slot_edges[self.network.edge_to]
            costs = (self.edge_cost + self.cost_to_go(destination))[options]
            costs[self.network.action_masks == 0] = np.inf
            rows, slots = np.arange(len(costs)), costs.argmin(axis=1)
            best = np.where(np.isfinite(costs[rows, slots]), options[rows, slots], -1)
            self._next_edge[destination] = tuple(best.tolist())
        return self._next_edge[destination]

    def route(self, edge: int, destination: NodeID) -> list[int]:
        """Edges from `edge` (included) to one that ends at `destination`; empty if there is no path."""
        if not np.isfinite(self.cost_to_go(destination)[edge]):
            return []
        next_edges, route = self.next_edges(destination), [edge]
        while self.network.edge_to[route[-1]] != destination:
            route.append(next_edges[route[-1]])
        return route


def _reversed_arcs(network: RoadNetwork) -> csr_array:
    """The connections from each edge back to those before it, since searches start at the destination."""
    arcs: csr_array | None = network.derived.get("reversed arcs")
    if arcs is None:
        edges, following = network.connections[:, 0], network.connections[:, 1]
        ones = np.ones(len(edges))
        arcs = csr_array((ones, (following, edges)), shape=(network.num_edges, network.num_edges))
        network.derived["reversed arcs"] = arcs
    return arcs


def shortest_paths(network: RoadNetwork, cost: str) -> ShortestPaths:
    """Shortest paths of the empty network, computed once per network.

    Args:
        network: the road network.
        cost: "length" (metres) or "free_flow_time" (seconds).

    Raises:
        ValueError: for another cost.
    """
    costs = {"length": network.edge_length_m, "free_flow_time": network.free_flow_time_s}
    if cost not in costs:
        raise ValueError(f"unknown cost {cost!r}; choose {' or '.join(costs)}, or make ShortestPaths of your own costs")
    paths: ShortestPaths | None = network.derived.get(f"shortest paths by {cost}")
    if paths is None:
        network.derived[f"shortest paths by {cost}"] = paths = ShortestPaths(network, costs[cost])
    return paths
