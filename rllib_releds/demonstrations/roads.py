"""How long vehicles took on each road, and its memory over several cycles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from sumo_marl_env import AgentTrajectory, Episode, NodeID, RoadNetwork

MEMORY = 0.8
"""Weight of what was known before a cycle: about the last five cycles count, since the agents' own routes change."""


@dataclass(frozen=True, slots=True)
class RoadTime:
    """The agents' vehicles on one directed road.

    Attributes:
        start: junction at which it begins.
        end: junction at which it ends.
        travel_time_s: mean time that a vehicle took, the wait at its end included.
        vehicles: how many agents drove it per episode.
    """

    start: NodeID
    end: NodeID
    travel_time_s: float
    vehicles: float


def road_times(episodes: Sequence[Episode], network: RoadNetwork) -> tuple[RoadTime, ...]:
    """Means over the episodes, in the order of the junctions. A trip's first road is no choice of it, and left out."""
    seconds: dict[tuple[NodeID, NodeID], list[float]] = {}
    for episode in episodes:
        for trajectory in episode:
            for road, travel_time_s in _driven(trajectory, network):
                seconds.setdefault(road, []).append(travel_time_s)
    return tuple(
        RoadTime(*road, sum(times) / len(times), len(times) / len(episodes)) for road, times in sorted(seconds.items())
    )


def remembered(
    before: Iterable[RoadTime], measured: Iterable[RoadTime], memory: float = MEMORY
) -> tuple[RoadTime, ...]:
    """What is known after a cycle: moving means of the vehicles per episode and, per vehicle, of the time.

    Args:
        before: what was known.
        measured: in the cycle.
        memory: weight of `before`; a road that nobody drives fades, and is forgotten below a hundredth of a vehicle.
    """
    roads = {(road.start, road.end): replace(road, vehicles=memory * road.vehicles) for road in before}
    share = 1.0 - memory if roads else 1.0
    for road in measured:
        old = roads.get((road.start, road.end), RoadTime(road.start, road.end, 0.0, 0.0))
        new = share * road.vehicles
        vehicles = old.vehicles + new
        time_s = (old.vehicles * old.travel_time_s + new * road.travel_time_s) / vehicles
        roads[road.start, road.end] = RoadTime(road.start, road.end, time_s, vehicles)
    return tuple(road for _, road in sorted(roads.items()) if road.vehicles >= 0.01)


def _driven(trajectory: AgentTrajectory, network: RoadNetwork) -> Iterator[tuple[tuple[NodeID, NodeID], float]]:
    """Each road after the first that the vehicle drove to its end, with the seconds it took."""
    # A vehicle decides when it enters a road, and has nothing to decide on its last one: the times of the last two
    # roads are known together only, and shared out as on an empty network.
    entered_s, edges = trajectory.decision_times_s.tolist(), trajectory.edges.tolist()
    if trajectory.arrived and 1 < len(edges) == len(entered_s) + 1:
        end_s = trajectory.trip.depart_s + trajectory.travel_time_s
        before_last, last = network.free_flow_time_s[edges[-2:]]
        entered_s += [entered_s[-1] + (end_s - entered_s[-1]) * before_last / (before_last + last), end_s]
    for edge, (began_s, left_s) in list(zip(edges, pairwise(entered_s), strict=False))[1:]:
        yield (int(network.edge_from[edge]), int(network.edge_to[edge])), left_s - began_s
