"""A scenario: a network, the agents' trips on it, the background traffic and the horizon."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from sumo_marl_env.config import ScenarioConfig, arguments_of
from sumo_marl_env.errors import NoRouteError, ScenarioError, UnknownJunctionError, hint
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.maps.osm import BUILT_IN_NETWORKS, load_network
from sumo_marl_env.maps.paths import shortest_paths
from sumo_marl_env.scenarios.demand import BackgroundVehicle, Demand, resolve_demand
from sumo_marl_env.scenarios.route_file import check_route_file
from sumo_marl_env.scenarios.trips import TRIP_PATTERNS, default_trip_length_m
from sumo_marl_env.types import AgentID, Trip

HORIZON_S = 2400.0
"""T_max of the paper."""

MAX_HORIZON_S = 604_800.0
"""A week: what is longer can be neither drawn nor simulated in bearable time."""

DEFAULT_NUM_AGENTS = 10

_VEHICLE_NAME = re.compile(r"[^\s\x00-\x1f\x7f|\\'\";,<>&]+")


@dataclass(frozen=True)
class BuiltIn:
    """A town by name or a map file, and how and how many trips are drawn on it unless the user says otherwise."""

    network: str
    trips: str = "spread"
    num_agents: int = DEFAULT_NUM_AGENTS


SCENARIOS = {**{town: BuiltIn(town) for town in BUILT_IN_NETWORKS}, "rush": BuiltIn("gridtown", "rush", 50)}
"""Built-in scenarios by name: the towns, and `rush`, in which the agents themselves make the jam."""


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
        if not isinstance(self.trips, Iterable):
            raise ScenarioError(f"trips of a Scenario must be Trips, not {self.trips!r}")
        object.__setattr__(self, "trips", tuple(self.trips))
        object.__setattr__(self, "demand", resolve_demand(self.demand))
        for what, kind in (("network", RoadNetwork), ("horizon_s", Real)):
            if not isinstance(getattr(self, what), kind):
                raise ScenarioError(f"{what} of a Scenario must be a {kind.__name__}, not {getattr(self, what)!r}")
        for trip in self.trips:
            if not isinstance(trip, Trip):
                raise ScenarioError(f"trips of a Scenario must be Trips, not {trip!r}")
        if not self.trips:
            raise ScenarioError(f"scenario {self.name!r} has no agents; it needs at least one trip")
        if not 0.0 < self.horizon_s <= MAX_HORIZON_S:
            raise ScenarioError(f"horizon_s must be positive, and at most {MAX_HORIZON_S:g} s, not {self.horizon_s}")
        names: set[AgentID] = set()
        for trip in self.trips:
            check_trip(self.network, trip, self.horizon_s)
            check_agent(trip.agent, names)
            names.add(trip.agent)
        if self.demand.route_file is not None:
            check_route_file(self.network.net_file, self.demand.route_file, self.agents, self.horizon_s)

    def background(self, seed: int) -> list[BackgroundVehicle]:
        """The drawn traffic of the episode with this seed: the same for agents, yardsticks and benchmarks."""
        return self.demand.draw(self.network, self.horizon_s, np.random.default_rng([seed, 0]))

    def save(self, path: Path | str) -> None:
        """Write a scenario file; see `sumo_marl_env.scenarios.scenario_saving.save_scenario`."""
        from sumo_marl_env.scenarios.scenario_saving import save_scenario

        save_scenario(self, path)

    @classmethod
    def load(cls, path: Path | str) -> Scenario:
        """Read a scenario file; see `sumo_marl_env.scenarios.scenario_file.load_scenario`."""
        from sumo_marl_env.scenarios.scenario_file import load_scenario

        return load_scenario(path)

    @cached_property
    def as_json(self) -> str:
        """The text of a scenario file for this machine: other files go by their absolute paths."""
        from sumo_marl_env.scenarios.scenario_saving import scenario_as_json

        return scenario_as_json(self)

    @cached_property
    def fingerprint(self) -> str:
        """Equal for scenarios with equal episodes; see `scenario_saving.scenario_fingerprint`."""
        from sumo_marl_env.scenarios.scenario_saving import scenario_fingerprint

        return scenario_fingerprint(self)

    @property
    def agents(self) -> list[AgentID]:
        return [trip.agent for trip in self.trips]


def check_agent(agent: AgentID, others: Container[AgentID]) -> None:
    """Raises ScenarioError if there is another agent of that name, or SUMO would not take it for a vehicle's."""
    usual = "name agents vehicle_0, vehicle_1 ..."
    if not isinstance(agent, str):
        raise ScenarioError(f"the name of an agent must be a text, not {agent!r}; {usual}")
    if agent in others:
        raise ScenarioError(f"there are two agents of the name {agent!r}; {usual}")
    if agent.startswith("background_"):
        raise ScenarioError(f"{agent!r} is a name of background traffic; {usual}")
    if not _VEHICLE_NAME.fullmatch(agent):
        unwanted = "no blanks, no control characters and none of |\\'\";,<>&"
        raise ScenarioError(f"{agent!r} is no name of a vehicle: SUMO wants {unwanted}; {usual}")


def check_trip(network: RoadNetwork, trip: Trip, horizon_s: float) -> None:
    """Raises UnknownJunctionError, ScenarioError or NoRouteError, naming the agent, if the trip cannot be made."""
    if not isinstance(trip.depart_s, Real):
        raise ScenarioError(f"{trip.agent}: depart_s must be a number of seconds, not {trip.depart_s!r}")
    # SUMO's steps take a second; whoever departs within the last one is never on the road.
    if not (trip.depart_s >= 0.0 and np.ceil(trip.depart_s) < np.ceil(horizon_s)):
        raise ScenarioError(
            f"{trip.agent}: departs at {trip.depart_s} s, outside the episode; choose 0 or more, and at least a second "
            f"less than the horizon of {horizon_s} s"
        )
    for what in ("origin", "destination", "origin_edge"):
        if not isinstance(getattr(trip, what), Integral):
            raise ScenarioError(f"{trip.agent}: {what} must be an index, a whole number, not {getattr(trip, what)!r}")
    for what, junction in (("origin", trip.origin), ("destination", trip.destination)):
        if not 0 <= junction < network.num_junctions:
            raise UnknownJunctionError(
                f"{trip.agent}: unknown {what} junction {junction}; {network.name} has junctions 0 to "
                f"{network.num_junctions - 1}"
            )
    if not 0 <= trip.origin_edge < network.num_edges or network.edge_from[trip.origin_edge] != trip.origin:
        raise ScenarioError(f"{trip.agent}: edge {trip.origin_edge} does not begin at its origin {trip.origin}")
    if trip.origin == trip.destination:
        raise ScenarioError(f"{trip.agent}: its destination is where it starts; choose another")
    if network.edge_to[trip.origin_edge] == trip.destination:
        raise ScenarioError(f"{trip.agent}: its origin edge ends at its destination already; choose others")
    if not np.isfinite(shortest_paths(network, "length").cost_to_go(trip.destination)[trip.origin_edge]):
        raise NoRouteError(f"{trip.agent}: junction {trip.destination} cannot be reached from {trip.origin}")


@arguments_of(ScenarioConfig)
def make_scenario(config: ScenarioConfig) -> Scenario:
    """Build a scenario. The arguments are the fields of `ScenarioConfig`.

    Raises:
        NetworkError: if there is no such network or it cannot be used.
        ScenarioError: if the pairs cannot be drawn, the demand is unknown, or the scenario file is wrong.
    """
    return build_scenario(config)


def build_scenario(config: ScenarioConfig) -> Scenario:
    """`make_scenario` of a configuration."""
    if isinstance(config.scenario, Scenario):
        _refuse_changes(config)
        return config.scenario
    if str(config.scenario).endswith(".json"):
        from sumo_marl_env.scenarios.scenario_file import load_scenario

        return load_scenario(config.scenario, config)
    built_in = _built_in(str(config.scenario))
    road_network = load_network(built_in.network if config.network is None else config.network)
    resolved = resolve_demand("moderate" if config.demand is None else config.demand)
    trips = built_in.trips if config.trips is None else config.trips
    name = f"{road_network.name}-{resolved.name}"
    if isinstance(trips, str):
        if trips != "spread":
            name = f"{road_network.name}-{trips}-{resolved.name}"
        count = built_in.num_agents if config.num_agents is None else config.num_agents
        trips = draw_pattern(trips, road_network, count, config.trip_length_m, config.trips_seed or 0)
    return Scenario(name, road_network, trips, resolved, HORIZON_S if config.horizon_s is None else config.horizon_s)


def _built_in(name: str) -> BuiltIn:
    """The built-in scenario of that name; the usual one of a map, if it is the name of a file."""
    if name in SCENARIOS or Path(name).suffix:
        return SCENARIOS.get(name, BuiltIn(name))
    if Path(name).is_dir():
        raise ScenarioError(f"{name} is a folder: give a scenario file (.json), or one of: {', '.join(SCENARIOS)}")
    guess = hint(name.lower(), SCENARIOS, " Did you mean")
    raise ScenarioError(f"unknown scenario {name!r}.{guess} Known: {', '.join(SCENARIOS)}, or a scenario file (.json).")


def _refuse_changes(config: ScenarioConfig) -> None:
    changed = [f.name for f in fields(ScenarioConfig) if f.name != "scenario" and getattr(config, f.name) is not None]
    if changed:
        raise ScenarioError(
            f"a Scenario is complete: leave out {', '.join(changed)}, or change it with dataclasses.replace"
        )


def draw_pattern(
    pattern: str, network: RoadNetwork, num_agents: int, length_m: float | None, seed: int
) -> tuple[Trip, ...]:
    """Trips by a name of `TRIP_PATTERNS`; raises ScenarioError if there is no such name or no such trips."""
    if pattern not in TRIP_PATTERNS:
        raise ScenarioError(f"unknown trips {pattern!r}; choose {', '.join(TRIP_PATTERNS)}, or give a list of trips")
    length = default_trip_length_m(network) if length_m is None else length_m
    if length <= 0:
        raise ScenarioError(f"trip_length_m must be positive, not {length}")
    return TRIP_PATTERNS[pattern](network, num_agents, length, np.random.default_rng(seed))
