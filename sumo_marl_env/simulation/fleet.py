"""The agents' vehicles in one episode: what the env reads, whoever drives them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.scenarios.demand import BackgroundVehicle
from sumo_marl_env.types import Exit, NodeID, Trip


@dataclass(slots=True)
class Vehicle:
    """State of one agent's vehicle.

    Attributes:
        trip: its task.
        edge: edge index it is on, or was last on.
        choice: edge index it will take next; -1 if none is chosen or the trip ends on this edge.
        route: edge indices of what is left of the route that SUMO has, from the edge it is on.
        departed_s: when SUMO inserted it; None before.
        entered_s: when it entered the edge; None before insertion.
        exit: why it left; None while it is waiting or driving.
        end_s: when it left; None as above.
        junctions: junctions passed, from the origin on.
        edges: edge indices driven so far, from the origin edge on; one per junction.
        seen_on: SUMO's id of the edge; "" before insertion. This and what follows is known only to the process that
            steers the vehicle.
        speed_factor: by how much its driver exceeds speed limits at most; known once it is inserted.
        acceleration_mps2: the most it can do; known once it is inserted.
        look_s: when to look at it next.
    """

    trip: Trip
    edge: int
    choice: int = -1
    route: list[int] = field(default_factory=list)
    departed_s: float | None = None
    entered_s: float | None = None
    exit: Exit | None = None
    end_s: float | None = None
    junctions: list[NodeID] = field(default_factory=list)
    edges: list[int] = field(default_factory=list)
    seen_on: str = ""
    speed_factor: float = 1.0
    acceleration_mps2: float = 1.0
    look_s: int = 0

    @classmethod
    def waiting(cls, trip: Trip) -> Vehicle:
        """As it is before insertion."""
        return cls(trip, trip.origin_edge, junctions=[trip.origin], edges=[trip.origin_edge])


class Fleet(ABC):
    """State of the agents' vehicles, and the verbs that change it. `Steering` drives them in this process,
    `IsolatedSteering` in a child process.

    Args:
        network: the road network.
        trips: the agents' trips.
        horizon_s: when an episode is cut off.
    """

    def __init__(self, network: RoadNetwork, trips: Sequence[Trip], horizon_s: float) -> None:
        self.network = network
        self.trips = tuple(trips)
        self.horizon_s = horizon_s
        self._clear()

    def _clear(self) -> None:
        """State at time 0, with every vehicle waiting."""
        self.time_s = 0
        self.vehicles = [Vehicle.waiting(trip) for trip in self.trips]
        self.deciders: tuple[int, ...] = ()
        self._changed: set[int] = set()
        self._deviations: dict[int, int] = {}
        self.edge_speeds_mps: NDArray[np.float64] = self.network.edge_speed_mps.copy()
        self.speed_samples = 0
        """How often `edge_speeds_mps` has changed in this episode."""

    @property
    @abstractmethod
    def wall_s(self) -> float:
        """Wall-clock seconds spent in SUMO so far."""

    @abstractmethod
    def reset(self, seed: int, background: Iterable[BackgroundVehicle], route_file: Path | None = None) -> None:
        """Begin an episode and advance to its first decision.

        Args:
            seed: of SUMO's own randomness.
            background: vehicles that are no agents.
            route_file: SUMO's file of further such vehicles.

        Raises:
            SimulatorError: if SUMO does not start or cannot load the network.
        """

    @abstractmethod
    def advance(self, choices: Mapping[int, int]) -> None:
        """Give each decider its next edge, then simulate until some vehicle must decide or the episode is over.

        Args:
            choices: edge index by agent index; exactly the deciders.

        Raises:
            SimulatorError: if SUMO died. `abandon` then ends the episode, and a reset starts SUMO again.
        """

    @abstractmethod
    def positions(self) -> dict[str, tuple[float, float]]:
        """(x, y) in metres of every vehicle on the road, agents and others, by SUMO's name; none without a simulation.

        Raises:
            SimulatorError: if SUMO died.
        """

    @abstractmethod
    def close(self) -> None:
        """End the simulation. May be called twice; a reset begins anew."""

    def abandon(self) -> None:
        """End every agent that is still under way, because the simulator failed."""
        self.deciders = ()
        for agent, vehicle in enumerate(self.vehicles):
            if vehicle.exit is None:
                self._end(agent, Exit.SIMULATOR_FAILED, self.time_s)

    def take_deviations(self) -> dict[int, int]:
        """Slot that the simulation executed in place of each agent's choice, since the last call in this episode."""
        deviations, self._deviations = self._deviations, {}
        return deviations

    def take_changed(self) -> set[int]:
        """Agents whose vehicle entered an edge or left the simulation since the last call in this episode."""
        changed, self._changed = self._changed, set()
        return changed

    def _end(self, agent: int, exit: Exit, time_s: float) -> None:
        vehicle = self.vehicles[agent]
        self._changed.add(agent)
        vehicle.exit = exit
        vehicle.end_s = float(time_s)
        vehicle.choice = -1
