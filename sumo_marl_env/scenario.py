"""A scenario: a network, the agents' trips on it, the background traffic and the horizon."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sumo_marl_env.demand import Demand, resolve_demand
from sumo_marl_env.errors import NoRouteError, ScenarioError, UnknownJunctionError
from sumo_marl_env.network import RoadNetwork
from sumo_marl_env.osm import load_network
from sumo_marl_env.paths import shortest_paths
from sumo_marl_env.types import AgentID, NodeID, Trip

HORIZON_S = 2400.0
"""T_max of the paper."""

TRIP_LENGTHS_M = {"gridtown": 1047.0, "harbourtown": 1770.0}
"""Mean straight-line origin-destination distance, from Table IV of the paper (reward + travel time - 240)."""

MIN_ORIGIN_EDGE_M = 25.0
"""An agent's origin edge must have room to insert its vehicle and to choose a lane."""


@dataclass(frozen=True)
class Scenario:
    """Everything that is fixed before an episode's seed is chosen.

    Attributes:
        name: network and demand, for results.
        network: the road network.
        trips: one per agent, in agent order.
        demand: the background traffic.
        horizon_s: T_max: simulated seconds after which the episode is cut off.
    """

    name: str
    network: RoadNetwork
    trips: tuple[Trip, ...]
    demand: Demand
    horizon_s: float = HORIZON_S

    def __post_init__(self) -> None:
        if not self.trips:
            raise ScenarioError(f"scenario {self.name!r} has no agents; give num_agents of 1 or more")
        if self.horizon_s <= 0:
            raise ScenarioError(f"horizon_s must be positive, not {self.horizon_s}")
        for trip in self.trips:
            check_trip(self.network, trip)

    @property
    def agents(self) -> list[AgentID]:
        return [trip.agent for trip in self.trips]


def check_trip(network: RoadNetwork, trip: Trip) -> None:
    """Raises UnknownJunctionError, ScenarioError or NoRouteError, naming the agent, if the trip cannot be made."""
    for what, junction in (("origin", trip.origin), ("destination", trip.destination)):
        if not 0 <= junction < network.num_junctions:
            raise UnknownJunctionError(
                f"{trip.agent}: unknown {what} junction {junction}; {network.name} has junctions 0 to "
                f"{network.num_junctions - 1}"
            )
    if not 0 <= trip.origin_edge < network.num_edges or network.edge_from[trip.origin_edge] != trip.origin:
        raise ScenarioError(f"{trip.agent}: edge {trip.origin_edge} does not begin at its origin {trip.origin}")
    if trip.origin == trip.destination or network.edge_to[trip.origin_edge] == trip.destination:
        raise ScenarioError(f"{trip.agent}: its origin edge ends at its destination already; choose others")
    if not np.isfinite(shortest_paths(network, "length").cost_to_go(trip.destination)[trip.origin_edge]):
        raise NoRouteError(f"{trip.agent}: junction {trip.destination} cannot be reached from {trip.origin}")


def make_scenario(
    scenario: str = "gridtown",
    demand: str | Demand = "moderate",
    num_agents: int = 10,
    *,
    network: RoadNetwork | Path | str | None = None,
    horizon_s: float = HORIZON_S,
    trips_seed: int = 0,
    trip_length_m: float | None = None,
    trips: tuple[Trip, ...] | None = None,
) -> Scenario:
    """Build a scenario.

    Args:
        scenario: name of a built-in town, used if `network` is not given.
        demand: "moderate", "congested", "none", or a `Demand`.
        num_agents: number of agents.
        network: a .osm or .net.xml file, or a `RoadNetwork`, instead of a built-in town.
        horizon_s: simulated seconds after which an episode is cut off.
        trips_seed: origin-destination pairs are drawn once from this seed, whatever the episode's seed.
        trip_length_m: mean straight-line distance of the pairs; by default the paper's on the built-in towns, and
            elsewhere 1047 m or 45 % of the network's diagonal if that is less.
        trips: use these instead of drawing any.

    Raises:
        NetworkError: if there is no such network or it cannot be used.
        ScenarioError: if the pairs cannot be drawn or the demand is unknown.
    """
    road_network = load_network(scenario if network is None else network)
    resolved = resolve_demand(demand)
    if trips is None:
        length = trip_length_m or TRIP_LENGTHS_M.get(road_network.name, min(1047.0, 0.45 * road_network.diagonal_m))
        trips = draw_trips(road_network, num_agents, length, np.random.default_rng(trips_seed))
    return Scenario(f"{road_network.name}-{resolved.name}", road_network, trips, resolved, horizon_s)


def draw_trips(
    network: RoadNetwork, num_agents: int, mean_length_m: float, rng: np.random.Generator
) -> tuple[Trip, ...]:
    """Origin-destination pairs whose straight-line distances average `mean_length_m` (within 2 %, if possible).

    Origins differ as long as there are enough of them.

    Raises:
        ScenarioError: if no pair of the network is between 65 % and 135 % of that length.
    """
    if num_agents < 1:
        raise ScenarioError(f"num_agents must be 1 or more, not {num_agents}")
    origins = np.flatnonzero(network.edge_length_m >= MIN_ORIGIN_EDGE_M)
    xy = network.junction_xy
    lengths = np.linalg.norm(xy[network.edge_from[origins], None] - xy[None], axis=-1)
    fits = (lengths >= 0.65 * mean_length_m) & (lengths <= 1.35 * mean_length_m)
    fits[np.arange(len(origins)), network.edge_to[origins]] = False
    usable = np.flatnonzero(fits.any(axis=1))
    if not len(usable):
        raise ScenarioError(
            f"{network.name} ({network.diagonal_m:.0f} m across) has no origin-destination pair about "
            f"{mean_length_m:.0f} m apart; give a smaller trip_length_m or a larger area"
        )
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
