"""Observations: small classes that own their space and their encoding.

An agent decides on the edge it has just entered; what it sees belongs to the junction at that edge's end. One of your
own is a class with what `Observation` names; `parallel_env(observation=YourClass)` calls it with the scenario.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.choices import chosen
from sumo_marl_env.errors import ConfigError
from sumo_marl_env.types import NodeID, Trip

if TYPE_CHECKING:
    from sumo_marl_env.scenarios.scenario import Scenario


@runtime_checkable
class Observation(Protocol):
    """Encodes what one agent sees. One instance serves all agents of one env, and no second env."""

    space: gymnasium.spaces.Box
    """Float32 vectors of one length, the same for all agents."""

    def begin(self, edge_scores: NDArray[np.float32]) -> None:
        """New traffic: (E,) float32 score of each edge, free-flow time over current estimated time, in [0, 1]."""

    def encode(self, trip: Trip, edge: int) -> NDArray[np.float32]:
        """(d,), d = space.shape[0]: what the agent of `trip` sees from `edge`. Changes only with that and `begin`."""


class PaperObservation:
    """Table I of the paper: (2 m_out + 2,) float32.

    | index      | meaning                                               |
    |------------|-------------------------------------------------------|
    | 0          | junction at the end of the current edge               |
    | 1          | destination junction                                  |
    | 2 + 2 i    | score of outgoing edge i in [0, 1]; -1 if absent      |
    | 2 + 2 i + 1| junction at the end of outgoing edge i; -1 if absent  |

    Args:
        scenario: its network is all that counts.
    """

    def __init__(self, scenario: Scenario) -> None:
        network = scenario.network
        slots = network.max_outgoing
        high = np.full(2 * slots + 2, network.num_junctions - 1, np.float32)
        high[2::2] = 1.0
        low = np.full(2 * slots + 2, -1.0, np.float32)
        low[:2] = 0.0
        self.space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self._approached = network.edge_to
        self._slot_edges = network.slot_edges
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


class FeatureObservation:
    """Where things are, instead of their ids: (7 m_out + 7,) float32, mostly in [-1, 1].

    A network that reads it needs no lookup tables, and what it learns carries over to other maps. Coordinates are from
    the middle of the map. An absent slot has 0 in all its columns.

    | index     | meaning                                                                    | unit  |
    |-----------|----------------------------------------------------------------------------|-------|
    | 0, 1      | x, y of the junction at the end of the current edge                        | 1 km  |
    | 2, 3      | x, y of the destination                                                    | 1 km  |
    | 4, 5      | difference of the two: the way to go                                       | 1 km  |
    | 6         | its length: the straight-line distance to go                               | 1 km  |
    | 7 + 7 i   | 1 if outgoing edge i exists                                                |       |
    | 8, 9 + 7 i| x, y from here to the end of edge i                                        | 200 m |
    | 10 + 7 i  | progress: how much nearer to the destination that end is                   | 200 m |
    | 11 + 7 i  | straight-line distance to go from there                                    | 1 km  |
    | 12 + 7 i  | free-flow time of edge i                                                   | 30 s  |
    | 13 + 7 i  | score of edge i: free-flow time over current estimated time, in [0, 1]     |       |

    Args:
        scenario: its network is all that counts.
    """

    FAR_M, NEAR_M, LONG_S = 1000.0, 200.0, 30.0

    def __init__(self, scenario: Scenario) -> None:
        network = scenario.network
        low, high = network.junction_xy.min(axis=0), network.junction_xy.max(axis=0)
        self._xy = network.junction_xy - (low + high) / 2.0
        self._approached = network.edge_to
        self._ends, self._exists = network.slot_ends, network.slot_ends >= 0
        self._slot_edges = network.slot_edges
        times = np.append(network.free_flow_time_s, 0.0)
        self._slot_times_s = times[self._slot_edges]
        self._by_destination: dict[NodeID, NDArray[np.float32]] = {}
        self._scores = np.zeros(self._ends.shape, np.float32)
        self.space = self._bounds((high - low) / 2.0, network.diagonal_m)

    def begin(self, edge_scores: NDArray[np.float32]) -> None:
        self._scores = np.append(edge_scores, np.float32(0.0))[self._slot_edges]

    def encode(self, trip: Trip, edge: int) -> NDArray[np.float32]:
        junction, destination = self._approached[edge], trip.destination
        if destination not in self._by_destination:
            self._by_destination[destination] = self._table(destination)
        row = self._by_destination[destination][junction].copy()
        row[13::7] = self._scores[junction]
        return row

    def _table(self, destination: NodeID) -> NDArray[np.float32]:
        """(J, 7 m_out + 7) observations at every junction, without scores."""
        goal = self._xy[destination]
        to_go_m = np.linalg.norm(goal - self._xy, axis=1)
        slots = np.zeros((*self._ends.shape, 7))
        slots[..., 0] = self._exists
        slots[..., 1:3] = (self._xy[self._ends] - self._xy[:, None]) / self.NEAR_M
        slots[..., 3] = (to_go_m[:, None] - to_go_m[self._ends]) / self.NEAR_M
        slots[..., 4] = to_go_m[self._ends] / self.FAR_M
        slots[..., 5] = self._slot_times_s / self.LONG_S
        whole = np.column_stack([self._xy, np.broadcast_to(goal, self._xy.shape), goal - self._xy, to_go_m])
        slots *= self._exists[..., None]
        return np.hstack([whole / self.FAR_M, slots.reshape(len(slots), -1)]).astype(np.float32)

    def _bounds(self, half: NDArray[np.float64], diagonal_m: float) -> gymnasium.spaces.Box:
        """The largest values that this map can give, with a margin for rounding."""
        leaps = np.where(self._exists[..., None], self._xy[self._ends] - self._xy[:, None], 0.0)
        whole = np.array([*half, *half, *(2.0 * half), diagonal_m]) / self.FAR_M
        leap, leap_xy = np.linalg.norm(leaps, axis=-1).max(), np.abs(leaps).max(axis=(0, 1))
        slot = [
            1.0,
            *(leap_xy / self.NEAR_M),
            leap / self.NEAR_M,
            diagonal_m / self.FAR_M,
            self._slot_times_s.max() / self.LONG_S,
            1.0,
        ]
        slots = self._ends.shape[1]
        high = np.concatenate([whole, np.tile(slot, slots)]) * (1.0 + 1e-6)
        high[7::7] = high[13::7] = 1.0
        is_signed = np.concatenate([[1] * 6 + [0], np.tile([0, 1, 1, 1, 0, 0, 0], slots)])
        return gymnasium.spaces.Box((-high * is_signed).astype(np.float32), high.astype(np.float32), dtype=np.float32)


OBSERVATIONS: dict[str, Callable[[Scenario], Observation]] = {
    "paper": PaperObservation,
    "features": FeatureObservation,
}
"""Observations by name, for `parallel_env(observation=...)`. Add your own; a name is known in the process that added
it."""


def chosen_observation(choice: Any, scenario: Scenario) -> Observation:
    """The observation that a name, a class or an instance stands for.

    Raises:
        ConfigError: if it is unknown, or no `Observation`.
    """
    observation = chosen("observation", choice, OBSERVATIONS, scenario)
    if not isinstance(observation, Observation):
        raise ConfigError(f"observation {observation!r} must have space, begin and encode")
    space = observation.space
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
        raise ConfigError(f"observation {observation!r} must have a Box of one dimension as its space")
    if not np.issubdtype(space.dtype, np.floating):
        raise ConfigError(f"observation {observation!r} must have a Box of floats as its space, not of {space.dtype}")
    return observation
