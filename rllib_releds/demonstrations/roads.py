"""How long vehicles took on each road before each turn, and its memory over several cycles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest

from rllib_releds.demonstrations.surroundings import detour_ratios
from sumo_marl_env import AgentTrajectory, Episode, NodeID, RoadNetwork

MEMORY = 0.9
"""Weight of what was known before a cycle, so that about the last ten cycles count: agents change their routes."""

MAX_DETOUR = 1.3
"""Junctions off everybody's way are left out: the fastest trip over them takes longer than any by this factor."""

FORGOTTEN_TRIPS = 0.25
"""What is left of so few trips is forgotten."""


@dataclass(frozen=True, slots=True)
class RoadTime:
    """The agents' vehicles on one directed road, of those that then took the same turn.

    Attributes:
        start: junction at which the road begins.
        end: junction at which it ends.
        travel_time_s: mean time that a vehicle took, the wait at its end included.
        vehicles: how many agents drove it per episode.
        then: the junction that the road taken next leads to; None if the trip ended here. Turning across oncoming
            traffic may take twice as long as going straight on.
        trips: on how many the mean rests; old ones fade.
    """

    start: NodeID
    end: NodeID
    travel_time_s: float
    vehicles: float
    then: NodeID | None = None
    trips: float = 1.0

    @property
    def key(self) -> tuple[NodeID, NodeID, NodeID]:
        """Which road and turn; sortable."""
        return self.start, self.end, -1 if self.then is None else self.then


def road_times(episodes: Sequence[Episode], network: RoadNetwork) -> tuple[RoadTime, ...]:
    """Means over the episodes, in the order of the junctions; without what is far off everybody's way."""
    seconds: dict[tuple[NodeID, NodeID, NodeID | None], list[float]] = {}
    trips = {trajectory.trip for episode in episodes for trajectory in episode}
    is_near = detour_ratios(network, sorted(trips, key=lambda trip: trip.agent)) <= MAX_DETOUR
    for episode in episodes:
        for trajectory in episode:
            for (start, end, then), travel_time_s in _driven(trajectory, network):
                if is_near[start] and is_near[end] and (then is None or is_near[then]):
                    seconds.setdefault((start, end, then), []).append(travel_time_s)
    measured = (
        RoadTime(start, end, sum(times) / len(times), len(times) / len(episodes), then, float(len(times)))
        for (start, end, then), times in seconds.items()
    )
    return tuple(sorted(measured, key=lambda road: road.key))


def remembered(before: Iterable[RoadTime], measured: Iterable[RoadTime]) -> tuple[RoadTime, ...]:
    """What is known after a cycle: moving means of the vehicles per episode and, per trip, of the time.

    Args:
        before: what was known.
        measured: in the cycle.
    """
    known = {road.key: replace(road, vehicles=MEMORY * road.vehicles, trips=MEMORY * road.trips) for road in before}
    share = 1.0 - MEMORY if known else 1.0
    for new in measured:
        old = known.get(new.key, replace(new, vehicles=0.0, trips=0.0))
        trips = old.trips + new.trips
        known[new.key] = replace(
            new,
            travel_time_s=(old.trips * old.travel_time_s + new.trips * new.travel_time_s) / trips,
            vehicles=old.vehicles + share * new.vehicles,
            trips=trips,
        )
    return tuple(road for _, road in sorted(known.items()) if road.trips >= FORGOTTEN_TRIPS)


def path_time_s(path: Sequence[NodeID], roads: Mapping[tuple[NodeID, NodeID, NodeID], RoadTime]) -> float | None:
    """Seconds that a path takes by what was measured on its roads, whoever drove them.

    Args:
        path: the junctions passed, from the origin to the destination.
        roads: by `RoadTime.key`.

    Returns:
        None if something on the path was not measured, or is forgotten, or if it has no road.
    """
    if len(path) < 2:
        return None
    total_s = 0.0
    for (start, end), then in zip_longest(pairwise(path), path[2:]):
        road = roads.get((start, end, -1 if then is None else then))
        if road is None:
            return None
        total_s += road.travel_time_s
    return total_s


def _driven(
    trajectory: AgentTrajectory, network: RoadNetwork
) -> Iterator[tuple[tuple[NodeID, NodeID, NodeID | None], float]]:
    """Each road and turn that the vehicle took to its end, with the seconds on that road."""
    edges, rows = trajectory.edges.tolist(), trajectory.decision_edges.tolist()
    times_s = trajectory.decision_times_s.tolist()
    if trajectory.arrived:
        rows.append(len(edges))
        times_s.append(trajectory.trip.depart_s + trajectory.travel_time_s)
    for (row, began_s), (next_row, ended_s) in pairwise(zip(rows, times_s, strict=True)):
        # A vehicle has nothing to decide on its last road, nor on one that it crosses within a step: the time from one
        # decision to the next is then that of several roads, and shared out as on an empty network.
        free_s = network.free_flow_time_s[edges[row:next_row]]
        shares_s = (ended_s - began_s) * free_s / free_s.sum()
        for number, time_s in enumerate(shares_s.tolist(), row):
            edge, following = edges[number], edges[number + 1 : number + 2]
            then = int(network.edge_to[following[0]]) if following else None
            yield (int(network.edge_from[edge]), int(network.edge_to[edge]), then), time_s
