"""Background traffic, drawn from a numpy Generator: how many vehicles, when they depart, which edges they drive."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sumo_marl_env.errors import ScenarioError
from sumo_marl_env.maps.capacity import busiest_lane_load
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.maps.paths import shortest_paths
from sumo_marl_env.types import NodeID

INSERTION_WINDOW_S = 60.0
"""A constant population enters within this time."""

MAX_DESTINATIONS = 64
"""Background trips end at junctions of a fixed pool, so that shortest paths are computed once per network."""

MIN_BACKGROUND_EDGE_M = 20.0
"""Shorter edges have no room to insert a vehicle."""

LOAD_SAMPLE = 400
"""Vehicles from which the load of the busiest lane is estimated."""

MAX_VEHICLES = 100_000
"""Of the population, and per hour along the arterials: more can be neither drawn nor simulated in bearable time."""

ARTERIAL_TYPES = ("highway.trunk", "highway.primary", "highway.secondary")


@dataclass(frozen=True, slots=True)
class BackgroundVehicle:
    """A vehicle that is not an agent: departure in seconds and its whole route as edge indices."""

    depart_s: float
    route: tuple[int, ...]


@dataclass(frozen=True)
class Demand:
    """Background traffic of a scenario.

    Attributes:
        name: what to call it in results.
        num_vehicles: size of the population.
        mode: "constant": all are there from the first minute on and drive from trip to trip until the horizon;
            "departures": each makes one trip, and departures are spread evenly over the episode.
        arterial_vehicles_per_hour: further vehicles that cross the network along its arterials (roads tagged trunk,
            primary or secondary; where there are none, the roads with most lanes), one trip each.
        max_load: both numbers above shrink on networks where a constant population of `num_vehicles` would ask the
            busiest lane for more than this share of what it lets through (see `sumo_marl_env.maps.capacity`); 0 takes
            them as they are.
        route_file: a SUMO route file (.rou.xml) with further vehicles, the same in every episode unless a flow or a
            distribution leaves it to chance; see `sumo_marl_env.scenarios.route_file`. Made absolute.
    """

    name: str
    num_vehicles: int = 0
    mode: Literal["constant", "departures"] = "constant"
    arterial_vehicles_per_hour: float = 0.0
    max_load: float = 0.0
    route_file: Path | None = None

    def __post_init__(self) -> None:
        numbers = (self.num_vehicles, self.arterial_vehicles_per_hour, self.max_load)
        if not all(isinstance(n, Real) for n in numbers):
            raise ScenarioError(f"demand {self.name!r} has something else than a number in {numbers}")
        if not all(0 <= n < math.inf for n in numbers):
            raise ScenarioError(f"demand {self.name!r} has a number that is negative or not finite")
        if max(self.num_vehicles, self.arterial_vehicles_per_hour) > MAX_VEHICLES:
            raise ScenarioError(f"demand {self.name!r} has more than {MAX_VEHICLES} vehicles")
        if self.num_vehicles != int(self.num_vehicles):
            raise ScenarioError(f"demand {self.name!r} has {self.num_vehicles} vehicles; give a whole number")
        # Equal numbers are written alike, so that equal scenarios have equal fingerprints.
        for name, kind in (("num_vehicles", int), ("arterial_vehicles_per_hour", float), ("max_load", float)):
            object.__setattr__(self, name, kind(getattr(self, name)))
        if self.mode not in ("constant", "departures"):
            raise ScenarioError(f"unknown demand mode {self.mode!r}; choose constant or departures")
        if self.route_file is not None:
            # Workers and child processes have other working folders.
            object.__setattr__(self, "route_file", Path(self.route_file).absolute())

    def draw(self, network: RoadNetwork, horizon_s: float, rng: np.random.Generator) -> list[BackgroundVehicle]:
        """The episode's vehicles in order of departure. Origins are drawn in proportion to edge length."""
        share = self._share(network)
        vehicles = [
            *self._population(network, round(share * self.num_vehicles), horizon_s, rng),
            *self._arterial(network, share * self.arterial_vehicles_per_hour, horizon_s, rng),
        ]
        return sorted(vehicles, key=lambda vehicle: vehicle.depart_s)

    def _share(self, network: RoadNetwork) -> float:
        """How much of itself the demand brings to the network: 1 unless `max_load` forbids it."""
        load = self.num_vehicles * _load_per_vehicle(network) if self.max_load else 0.0
        return min(1.0, self.max_load / load) if load else 1.0

    def _population(
        self, network: RoadNetwork, count: int, horizon_s: float, rng: np.random.Generator
    ) -> list[BackgroundVehicle]:
        if not count:
            return []
        weight = np.where(network.edge_length_m >= MIN_BACKGROUND_EDGE_M, network.edge_length_m, 0.0)
        if not weight.any():
            raise ScenarioError(f"{network.name} has no edge of {MIN_BACKGROUND_EDGE_M:.0f} m for background traffic")
        origins = rng.choice(network.num_edges, size=count, p=weight / weight.sum()).tolist()
        window = INSERTION_WINDOW_S if self.mode == "constant" else horizon_s
        departures = rng.uniform(0.0, min(window, horizon_s), size=count).tolist()
        duration = horizon_s if self.mode == "constant" else 0.0
        pool = destination_pool(network)
        return [
            BackgroundVehicle(depart, _trip_chain(network, origin, duration, pool, rng))
            for depart, origin in zip(departures, origins, strict=True)
        ]

    def _arterial(
        self, network: RoadNetwork, vehicles_per_hour: float, horizon_s: float, rng: np.random.Generator
    ) -> list[BackgroundVehicle]:
        count = int(rng.poisson(vehicles_per_hour * horizon_s / 3600.0))
        if not count:
            return []
        arterials, trip = arterial_edges(network), _route_finder(network)
        ends = np.unique(network.edge_to[arterials])
        weight = network.edge_length_m[arterials]
        origins = rng.choice(arterials, size=count, p=weight / weight.sum()).tolist()
        departures = rng.uniform(0.0, horizon_s, size=count).tolist()
        vehicles = []
        for depart, origin in zip(departures, origins, strict=True):
            # Through traffic: the exit is at least half the network's diagonal away where there is such a one.
            away = np.linalg.norm(network.junction_xy[ends] - network.junction_xy[network.edge_from[origin]], axis=1)
            far = ends[away >= min(0.5 * network.diagonal_m, away.max())]
            route, _ = trip(origin, int(rng.choice(far)))
            vehicles.append(BackgroundVehicle(depart, (origin, *route)))
        return vehicles


MODERATE = Demand("moderate", 90, max_load=0.45)
# On the built-in towns agents need about a sixth (gridtown) or a third (harbourtown) longer than in moderate traffic.
# Much more would lock junctions up before the horizon: injected vehicles add up, as they cross the town ever slower.
# Nor do all maps bear as much as the towns, where 400 vehicles load the busiest lane to about 0.6.
CONGESTED = Demand("congested", 400, arterial_vehicles_per_hour=100.0, max_load=0.85)
NO_TRAFFIC = Demand("none", 0)
DEMANDS = {demand.name: demand for demand in (MODERATE, CONGESTED, NO_TRAFFIC)}


def resolve_demand(demand: str | Path | Demand) -> Demand:
    """A built-in demand by name, the traffic of a SUMO route file (a path that ends in .xml), or the given one.

    Raises:
        ScenarioError: if there is no demand of that name.
    """
    if isinstance(demand, Demand):
        return demand
    if not isinstance(demand, str | Path):
        raise ScenarioError(f"a demand is a name, a file or a Demand, not {demand!r}")
    if str(demand).endswith(".xml"):
        return Demand(Path(demand).name.removesuffix(".xml").removesuffix(".rou"), route_file=Path(demand))
    if str(demand) not in DEMANDS:
        raise ScenarioError(
            f"unknown demand {str(demand)!r}; choose {', '.join(DEMANDS)}, or give a SUMO route file (.rou.xml)"
        )
    return DEMANDS[str(demand)]


def demand_of(fields: Mapping[str, Any]) -> Demand:
    """A demand by its fields, as files have them: a built-in one by its name, with what they change."""
    return replace(DEMANDS.get(fields["name"], Demand(fields["name"])), **fields)


def destination_pool(network: RoadNetwork) -> list[NodeID]:
    """Junctions where background trips end: all of them, or an evenly spread selection on large networks."""
    step = max(1, -(-network.num_junctions // MAX_DESTINATIONS))
    return list(range(0, network.num_junctions, step))


def arterial_edges(network: RoadNetwork) -> np.ndarray:
    """(k,) indices of the arterials: tagged ones, else those with most lanes."""
    tagged = np.flatnonzero([kind.startswith(ARTERIAL_TYPES) for kind in network.edge_types])
    if len(tagged):
        return tagged
    return np.flatnonzero(network.edge_num_lanes == network.edge_num_lanes.max())


RouteFinder = Callable[[int, NodeID], tuple[tuple[int, ...], float]]
"""`_trip` on one network."""


def _route_finder(network: RoadNetwork) -> RouteFinder:
    """Background trips on the network, each of them computed once."""
    if "background trips" not in network.derived:
        network.derived["background trips"] = lru_cache(maxsize=50_000)(partial(_trip, network))
    find: RouteFinder = network.derived["background trips"]
    return find


def _trip(network: RoadNetwork, origin_edge: int, destination: NodeID) -> tuple[tuple[int, ...], float]:
    """Free-flow fastest route from the edge (excluded) to the junction, and its free-flow time in seconds."""
    route = shortest_paths(network, "free_flow_time").route(origin_edge, destination)[1:]
    return tuple(route), float(network.free_flow_time_s[route].sum())


def _trip_chain(
    network: RoadNetwork, origin_edge: int, duration_s: float, pool: list[NodeID], rng: np.random.Generator
) -> tuple[int, ...]:
    """One trip after the other until the route takes at least `duration_s` in free flow."""
    route = [origin_edge]
    remaining, trip = duration_s, _route_finder(network)
    # Drawn in blocks: one call of the generator costs as much as walking a whole trip.
    destinations: list[int] = []
    while remaining > 0.0 or len(route) == 1:
        if not destinations:
            destinations = rng.integers(len(pool), size=32).tolist()
        leg, leg_s = trip(route[-1], pool[destinations.pop()])
        route.extend(leg)
        remaining -= leg_s
    return tuple(route)


def _load_per_vehicle(network: RoadNetwork) -> float:
    """`busiest_lane_load` of a constant population, from a fixed sample."""
    if "load per vehicle" not in network.derived:
        sample = Demand("sample", LOAD_SAMPLE).draw(network, 3600.0, np.random.default_rng(0))
        network.derived["load per vehicle"] = busiest_lane_load(network, [vehicle.route for vehicle in sample])
    load: float = network.derived["load per vehicle"]
    return load


def route_is_connected(network: RoadNetwork, route: tuple[int, ...]) -> bool:
    """Whether each edge's lanes lead to the next edge."""
    return all(following in network.successors[edge] for edge, following in pairwise(route))
