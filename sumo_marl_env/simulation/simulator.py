"""The verbs that steering needs of a traffic simulation. `sumo_marl_env.simulation.sumo` is the one implementation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Simulator(Protocol):
    """One running traffic simulation with steps of one second.

    Attributes:
        wall_s: wall-clock seconds spent in the simulation so far.
        is_foreseeable: whether from a vehicle's motion follows when it can be on its next edge at the earliest.
    """

    wall_s: float
    is_foreseeable: bool

    def claim(self) -> bool:
        """Reserve what a simulation in this process needs, until `close`; False if another simulator has it."""

    def guarded(self) -> AbstractContextManager[None]:
        """Within it, errors of the simulation itself close it and become SimulatorErrors."""

    def load(self, net_file: Path, seed: int, route_file: Path | None = None) -> None:
        """Start anew at time 0 with an empty network, or with the traffic of a route file. Raises SimulatorError."""

    def add_vehicle(self, vehicle: str, route: Sequence[str], depart_s: float, *, is_agent: bool) -> None:
        """Insert a vehicle at `depart_s` or as soon as there is room."""

    def step(self, until_s: float = 0.0) -> None:
        """Advance to `until_s`, by default by one second. Raises SimulatorError if the simulation died."""

    def road(self, vehicle: str) -> str:
        """Edge id the vehicle is on; "" before insertion; begins with ":" inside a junction."""

    def motion(self, vehicle: str) -> tuple[float, float]:
        """How far the vehicle's front is from the beginning of its lane, in m, and its speed in m/s."""

    def temperament(self, vehicle: str) -> tuple[float, float]:
        """The highest speed of a vehicle over the speed limit, and its highest acceleration in m/s2."""

    def red_until_s(self, vehicle: str, within_m: float) -> float:
        """When the red light that the vehicle meets within this distance can change; 0 if there is none."""

    def ways_inside_junction_m(self, edge: str) -> Mapping[str, float]:
        """For each edge to which the edge's lanes lead, at least how many metres inside the junction it takes."""

    def set_route(self, vehicle: str, route: Sequence[str]) -> None:
        """Replace the vehicle's route, which must begin with its current edge."""

    def arrived(self) -> Sequence[str]:
        """Vehicles that ended their route since the last call of `step`."""

    def teleporting(self) -> Sequence[str]:
        """Vehicles that SUMO took off the road since the last call of `step` because they were jammed."""

    def remove_vehicle(self, vehicle: str) -> None:
        """Take the vehicle out of the simulation."""

    def lane_exits_when_blocked(self, vehicle: str, waiting_s: float, within_m: float) -> tuple[str, ...] | None:
        """Edges that the vehicle's lane leads to, if it has stood for `waiting_s` within `within_m` of the lane's end.

        None if it has not, or is inside a junction.
        """

    def edge_speeds_mps(self, edge_ids: Sequence[str]) -> NDArray[np.float64]:
        """(E,) current mean speed on each edge; the speed limit where it is empty."""

    def car_lanes_mps(self, edge: str) -> Mapping[str, float]:
        """Speed limit of each lane of the edge that cars may use."""

    def share_of_limits(self, lanes_mps: Mapping[str, float]) -> float:
        """Mean speed on these lanes as a share of their limits; an empty lane counts as one vehicle at its limit."""

    def positions(self) -> dict[str, tuple[float, float]]:
        """Metres, of every vehicle on the road; no vehicles when nothing is loaded. For pictures only: slow."""

    def close(self) -> None:
        """End the simulation. May be called twice."""
