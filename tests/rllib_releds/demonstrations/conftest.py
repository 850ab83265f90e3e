"""A small world without SUMO: a grid of streets on which a vehicle drives one edge per decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from street_grid import grid_network

from rllib_releds.demonstrations.protocol import DemonstrationContext, DemonstrationTrace, Demonstrator
from sumo_marl_env import AgentTrajectory, Exit, Navigator, RoadNetwork, ShortestPaths, Trip


@dataclass
class World:
    """Vehicles on the grid, and what their demonstrators make of it."""

    network: RoadNetwork
    trips: tuple[Trip, ...]
    edges: dict[str, int] = field(default_factory=dict)
    driven: dict[str, list[int]] = field(default_factory=dict)
    times_s: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.times_s = self.network.free_flow_time_s.copy()

    @property
    def live_paths(self) -> ShortestPaths:
        return ShortestPaths(self.network, self.times_s)

    def current_edge(self, agent: str) -> int:
        return self.edges[agent]

    def driven_edges(self, agent: str) -> list[int]:
        return self.driven[agent]

    def navigator(self, agent: str) -> Navigator:
        trip = next(trip for trip in self.trips if trip.agent == agent)
        if agent not in self.edges:
            self.edges[agent], self.driven[agent] = trip.origin_edge, [trip.origin_edge]
        return Navigator(self.network, trip, self)

    def move(self, agent: str, slot: int) -> int:
        """Drive on by `slot`, which must be valid; returns the junction then approached."""
        edge = self.edges[agent]
        assert self.network.action_masks[edge, slot] == 1, "the slot is masked out"
        self.edges[agent] = self.network.outgoing[self.network.edge_to[edge]][slot]
        self.driven[agent].append(self.edges[agent])
        return int(self.network.edge_to[self.edges[agent]])

    def drive(
        self, demonstrator: Demonstrator, agents: Sequence[str], max_decisions: int = 60
    ) -> tuple[Mapping[str, list[int]], Mapping[str, DemonstrationTrace]]:
        """Junctions passed by each agent up to its destination, and the traces."""
        navigators = {agent: self.navigator(agent) for agent in agents}
        demonstrator.start(navigators)
        paths = {
            agent: [navigator.trip.origin, navigator.approached_junction] for agent, navigator in navigators.items()
        }
        for _ in range(max_decisions):
            for agent in agents:
                if paths[agent][-1] != navigators[agent].trip.destination:
                    paths[agent].append(self.move(agent, demonstrator.act(agent)))
        traces = demonstrator.finish()
        for agent in agents:
            assert len(traces[agent].instruction_at) == len(paths[agent]) - 2
        return paths, traces


def make_trip(network: RoadNetwork, number: int, origin: int, heading: int, destination: int) -> Trip:
    return Trip(f"vehicle_{number}", origin, destination, network.edge_index[f"{origin}to{heading}"], 0.0)


@pytest.fixture(scope="session")
def network() -> RoadNetwork:
    return grid_network()


@pytest.fixture(scope="session")
def big_grid() -> RoadNetwork:
    """18 x 18 junctions."""
    return grid_network(18)


@pytest.fixture
def world(network: RoadNetwork) -> World:
    """Four agents that cross the 4 x 4 grid."""
    trips = (
        make_trip(network, 0, 0, 1, 15),
        make_trip(network, 1, 3, 2, 12),
        make_trip(network, 2, 12, 8, 3),
        make_trip(network, 3, 15, 11, 0),
    )
    return World(network, trips)


@pytest.fixture
def context(world: World) -> DemonstrationContext:
    return DemonstrationContext(0, 0, world.network, world.trips, "a little grid, no traffic", None, 0)


@pytest.fixture
def make_trajectory(network: RoadNetwork):
    """A trajectory from its decisions' environment steps and rewards; everything else has a plain value."""

    def make(trip: Trip, steps: Sequence[int], rewards: Sequence[float], **changes) -> AgentTrajectory:
        count = len(steps)
        values = {
            "observations": np.full((count, 10), 0.5),
            "action_masks": np.ones((count, 4)),
            "actions": np.zeros(count),
            "rewards": np.array(rewards),
            "decision_steps": np.array(steps),
            "decision_times_s": np.array(steps) * 10.0,
            "junctions": np.array([trip.origin, *range(4, 4 + count)]),
            "exit": Exit.ARRIVED,
            "travel_time_s": 1000.0,
        }
        return AgentTrajectory(trip=trip, **(values | changes))

    return make
