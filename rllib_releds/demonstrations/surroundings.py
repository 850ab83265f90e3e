"""The part of a road network that matters for some trips, so that a prompt on a large map stays short."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from sumo_marl_env import NodeID, RoadNetwork, Trip, shortest_paths


def detour_ratios(network: RoadNetwork, trips: Sequence[Trip]) -> NDArray[np.float64]:
    """How much longer the best trip takes that goes over each junction than it takes at its fastest.

    Args:
        network: J junctions.
        trips: at least one.

    Returns:
        (J,) float64, at least 1, the least over all trips: 1 on somebody's fastest path on the empty network.
    """
    paths = shortest_paths(network, "free_flow_time")
    edges, following = network.connections[:, 0], network.connections[:, 1]
    forward = csr_array((paths.edge_cost[following], (edges, following)), shape=(network.num_edges,) * 2)
    ratios = np.full(network.num_junctions, np.inf)
    for origin_edge, destination in sorted({(trip.origin_edge, trip.destination) for trip in trips}):
        to_go = paths.cost_to_go(destination)
        # Both in seconds: up to the end of every edge, the first edge left out, and from there on.
        so_far = dijkstra(forward, indices=origin_edge)
        through = (so_far + to_go) / max(float(to_go[origin_edge]), 1e-6)
        np.minimum.at(ratios, network.edge_to, through)
        ratios[network.edge_from[origin_edge]] = 1.0
    return np.maximum(ratios, 1.0)


def nodes_that_matter(
    network: RoadNetwork, trips: Sequence[Trip], fits: Callable[[Sequence[NodeID]], bool]
) -> tuple[NodeID, ...]:
    """As many junctions as fit, those with the least detour first; never less than all trips' fastest paths.

    Args:
        network: the road network.
        trips: the agents' trips.
        fits: whether a prompt with these junctions, in ascending order, is short enough.
    """
    everything = tuple(range(network.num_junctions))
    if not trips or fits(everything):
        return everything
    ratios = detour_ratios(network, trips)
    order = np.argsort(ratios, kind="stable")
    # The largest number of nodes that fits, by bisection.
    least, most = int((ratios <= 1.0 + 1e-9).sum()), network.num_junctions
    while most - least > 1:
        middle = (least + most) // 2
        if fits(sorted(order[:middle].tolist())):
            least = middle
        else:
            most = middle
    return tuple(sorted(order[:least].tolist()))
