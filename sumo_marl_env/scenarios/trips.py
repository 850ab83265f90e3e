"""How the agents' trips are drawn: spread over the town, or as a rush hour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.errors import ScenarioError
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.maps.osm import is_built_in
from sumo_marl_env.maps.paths import ShortestPaths, shortest_paths
from sumo_marl_env.types import NodeID, Trip

TRIP_LENGTHS_M = {"gridtown": 1047.0, "harbourtown": 1770.0}
"""Mean straight-line origin-destination distance, from Table IV of the paper (reward + travel time - 240)."""

MIN_ORIGIN_EDGE_M = 25.0
"""An agent's origin edge must have room to insert its vehicle and to choose a lane."""

RUSH_ORIGINS, RUSH_DESTINATIONS = 6, 3

RUSH_HEADWAY_S = 5.0
"""Vehicles of one origin depart this far apart: SUMO inserts about one vehicle per 3 s there, and an edge with a signal
lets about one per 5 s pass."""

RUSH_CANDIDATES = 300

MAX_AGENTS = 100_000
"""More would take hours to draw, and no SUMO drives them."""


def default_trip_length_m(network: RoadNetwork) -> float:
    """The paper's on the built-in towns, elsewhere 1047 m or 45 % of the network's diagonal if that is less."""
    return TRIP_LENGTHS_M[network.name] if is_built_in(network) else min(1047.0, 0.45 * network.diagonal_m)


def draw_trips(
    network: RoadNetwork, num_agents: int, mean_length_m: float, rng: np.random.Generator
) -> tuple[Trip, ...]:
    """Origin-destination pairs whose straight-line distances average `mean_length_m` (within 2 %, if possible).

    Origins differ as long as there are enough of them. All agents depart at time 0.

    Raises:
        ScenarioError: if no pair of the network is between 65 % and 135 % of that length.
    """
    _check_count(num_agents)
    origins, lengths, fits = _pairs(network, mean_length_m, 0.35)
    usable = np.flatnonzero(fits.any(axis=1))
    best: tuple[float, list[tuple[int, NodeID]]] | None = None
    for _ in range(200):
        rows = rng.choice(usable, size=num_agents, replace=num_agents > len(usable))
        ends = [int(rng.choice(np.flatnonzero(fits[row]))) for row in rows]
        error = abs(float(lengths[rows, ends].mean()) / mean_length_m - 1.0)
        if best is None or error < best[0]:
            best = error, [(int(origins[row]), end) for row, end in zip(rows, ends, strict=True)]
        if error < 0.02:
            break
    assert best is not None
    return tuple(Trip(f"vehicle_{k}", int(network.edge_from[edge]), end, edge) for k, (edge, end) in enumerate(best[1]))


def draw_rush(
    network: RoadNetwork, num_agents: int, mean_length_m: float, rng: np.random.Generator
) -> tuple[Trip, ...]:
    """A rush hour: everybody from six neighbouring origins to three neighbouring destinations.

    Of many such groups the one is taken whose fastest paths on empty roads have the longest stretch in common. If all
    agents take these paths, they make the jam themselves. Departures are spread, so that a shared origin edge can
    insert its vehicles: agent k departs k / 6 of `RUSH_HEADWAY_S` after the first.

    Args:
        network: the road network.
        num_agents: number of agents.
        mean_length_m: straight-line distance between the middles of the two groups, within 20 % if possible.
        rng: draws the groups.

    Raises:
        ScenarioError: if the network has no two such groups.
    """
    _check_count(num_agents)
    origins, _, fits = _pairs(network, mean_length_m, 0.2)
    usable = np.flatnonzero(fits.any(axis=1))
    paths = shortest_paths(network, "free_flow_time")
    best: tuple[float, list[int], list[int]] | None = None
    for _ in range(RUSH_CANDIDATES):
        row = int(rng.choice(usable))
        middle = int(rng.choice(np.flatnonzero(fits[row])))
        near_origin = origins[_nearest(network, network.edge_to[origins], network.edge_to[origins[row]])]
        near_middle = _nearest(network, np.arange(network.num_junctions), middle)
        starts = rng.permutation(near_origin[: 3 * RUSH_ORIGINS])[:RUSH_ORIGINS].tolist()
        ends = rng.permutation(near_middle[: 3 * RUSH_DESTINATIONS])[:RUSH_DESTINATIONS].tolist()
        shared_m = _shared_length_m(paths, starts, ends)
        if shared_m is not None and (best is None or shared_m > best[0]):
            best = shared_m, starts, ends
    if best is None:
        raise ScenarioError(
            f"{network.name} has no {RUSH_ORIGINS} origins and {RUSH_DESTINATIONS} destinations about "
            f"{mean_length_m:.0f} m apart for a rush; give another trip_length_m or a larger network"
        )
    _, starts, ends = best
    trips = []
    for k in range(num_agents):
        edge, end = starts[k % len(starts)], ends[k // len(starts) % len(ends)]
        depart_s = round(k * RUSH_HEADWAY_S / len(starts), 2)
        trips.append(Trip(f"vehicle_{k}", int(network.edge_from[edge]), end, edge, depart_s))
    return tuple(trips)


TRIP_PATTERNS: dict[str, Callable[[RoadNetwork, int, float, np.random.Generator], tuple[Trip, ...]]] = {
    "spread": draw_trips,
    "rush": draw_rush,
}
"""Every way to draw trips, by name."""


def _check_count(num_agents: int) -> None:
    if not 1 <= num_agents <= MAX_AGENTS:
        raise ScenarioError(f"num_agents must be from 1 to {MAX_AGENTS}, not {num_agents}")


def _pairs(
    network: RoadNetwork, length_m: float, tolerance: float
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.bool_]]:
    """Origin edges (k,), their straight-line distances (k, J) to all junctions, and which of these fit (k, J)."""
    origins = np.flatnonzero(network.edge_length_m >= MIN_ORIGIN_EDGE_M)
    if not len(origins):
        raise ScenarioError(
            f"{network.name} has no road of {MIN_ORIGIN_EDGE_M:.0f} m, on which a vehicle could depart; "
            "choose a larger area"
        )
    xy = network.junction_xy
    lengths = np.linalg.norm(xy[network.edge_from[origins], None] - xy[None], axis=-1)
    fits = np.abs(lengths / length_m - 1.0) <= tolerance
    fits[np.arange(len(origins)), network.edge_to[origins]] = False
    if not fits.any():
        raise ScenarioError(
            f"{network.name} has no origin-destination pair about {length_m:.0f} m apart: its pairs are "
            f"{lengths[lengths > 0.0].min():.0f} to {lengths.max():.0f} m apart; give a trip_length_m in between "
            "(length_m of the trips in a scenario file), or choose another area"
        )
    return origins, lengths, fits


def _nearest(network: RoadNetwork, junctions: NDArray, middle: NodeID) -> NDArray[np.intp]:
    """Positions in `junctions` in order of their distance from `middle`."""
    offsets = network.junction_xy[junctions] - network.junction_xy[middle]
    return np.argsort(np.linalg.norm(offsets, axis=1), kind="stable")


def _shared_length_m(paths: ShortestPaths, starts: list[int], ends: list[NodeID]) -> float | None:
    """Metres that the paths of all pairs have in common; None if some pair is no trip."""
    network = paths.network
    if any(network.edge_from[s] == e or network.edge_to[s] == e for s in starts for e in ends):
        return None
    shared = set.intersection(*(set(paths.route(start, end)) for start in starts for end in ends))
    return float(network.edge_length_m[list(shared)].sum())
