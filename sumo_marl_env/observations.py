"""Observations: small classes that own their space and their encoding.

An agent decides on the edge it has just entered; what it sees belongs to the junction at that edge's end.
"""

from __future__ import annotations

from typing import Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.network import RoadNetwork
from sumo_marl_env.types import Trip


class Observation(Protocol):
    """Encodes what one agent sees. One instance serves all agents of an env."""

    space: gymnasium.spaces.Box

    def begin(self, edge_scores: NDArray[np.float32]) -> None:
        """New traffic: (E,) float32 score of each edge, free-flow time over current estimated time, in [0, 1]."""

    def encode(self, trip: Trip, edge: int) -> NDArray[np.float32]:
        """What the agent of `trip` sees from `edge`."""


class PaperObservation:
    """Table I of the paper: (2 m_out + 2,) float32.

    | index      | meaning                                               |
    |------------|-------------------------------------------------------|
    | 0          | junction at the end of the current edge               |
    | 1          | destination junction                                  |
    | 2 + 2 i    | score of outgoing edge i in [0, 1]; -1 if absent      |
    | 2 + 2 i + 1| junction at the end of outgoing edge i; -1 if absent  |

    Args:
        network: the road network.
    """

    def __init__(self, network: RoadNetwork) -> None:
        slots = network.max_outgoing
        high = np.full(2 * slots + 2, network.num_junctions - 1, np.float32)
        high[2::2] = 1.0
        low = np.full(2 * slots + 2, -1.0, np.float32)
        low[:2] = 0.0
        self.space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self._approached = network.edge_to
        self._slot_edges = np.full((network.num_junctions, slots), network.num_edges, np.intp)
        for junction, edges in enumerate(network.outgoing):
            self._slot_edges[junction, : len(edges)] = edges
        self._by_junction = np.full((network.num_junctions, 2 * slots + 2), -1.0, np.float32)
        self._by_junction[:, 0] = np.arange(network.num_junctions)
        self._by_junction[:, 3::2] = network.slot_ends

    def begin(self, edge_scores: NDArray[np.float32]) -> None:
        absent = np.append(edge_scores, np.float32(-1.0))
        self._by_junction[:, 2::2] = absent[self._slot_edges]

    def encode(self, trip: Trip, edge: int) -> NDArray[np.float32]:
        row = self._by_junction[self._approached[edge]].copy()
        row[1] = trip.destination
        return row
