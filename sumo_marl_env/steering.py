"""Edge-by-edge control of the agents' vehicles that loses none of them.

SUMO removes a vehicle whose route ends, and a very short edge can be crossed within one step. So a route always extends
past the edge the agent chose, along the shortest path to its destination, and is replaced at the agent's next decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from sumo_marl_env.demand import BackgroundVehicle
from sumo_marl_env.fleet import Fleet, Vehicle
from sumo_marl_env.network import RoadNetwork
from sumo_marl_env.paths import shortest_paths
from sumo_marl_env.simulator import Simulator
from sumo_marl_env.types import Exit, Trip

PROVISIONAL_ROUTE_M = 60.0
"""A route reaches at least this far past the chosen edge."""

BLOCKED_S, BLOCKED_WITHIN_M, BLOCKED_CHECK_S = 20.0, 15.0, 20
"""A vehicle in a lane that does not lead to its choice gives way after this long, this near to the lane's end."""

STUCK_S = 300.0
"""An agent that has been on one edge for this long at the horizon is called stuck."""

SPEED_SAMPLE_S = 40
"""Edge speeds are read this often: reading all edges costs as much as one simulation step. No divisor of a signal's
cycle, which would show the same phases again and again."""

MIN_SPEED_MPS = 0.1


class Steering(Fleet):
    """Drives the agents' vehicles through one episode after the other, with SUMO in this process.

    Args:
        simulator: the simulation; only this class talks to it.
        network: the road network.
        trips: the agents' trips.
        horizon_s: when an episode is cut off.
        smoothing_s: time constant of the moving average of edge speeds; 0 for instantaneous speeds.
    """

    def __init__(
        self,
        simulator: Simulator,
        network: RoadNetwork,
        trips: Sequence[Trip],
        horizon_s: float,
        smoothing_s: float = 60.0,
    ) -> None:
        super().__init__(network, trips, horizon_s)
        self.simulator = simulator
        self._speed_weight = 1.0 if smoothing_s <= 0 else 1.0 - float(np.exp(-SPEED_SAMPLE_S / smoothing_s))
        self._paths = shortest_paths(network, "free_flow_time")
        # No driver exceeds twice the speed limit; a vehicle may be a step into an edge when it is first seen there.
        self._min_time_on_edge_s = (network.free_flow_time_s / 2.0 - 2.0).tolist()

    @property
    def wall_s(self) -> float:
        return self.simulator.wall_s

    def reset(self, seed: int, background: Iterable[BackgroundVehicle], route_file: Path | None = None) -> None:
        self._clear()
        self.simulator.load(self.network.net_file, seed, route_file)
        with self.simulator.guarded():
            self._insert(background)
            self._until_decision()

    def _insert(self, background: Iterable[BackgroundVehicle]) -> None:
        edge_ids = self.network.edge_ids
        for index, other in enumerate(background):
            route = [edge_ids[edge] for edge in other.route]
            self.simulator.add_vehicle(f"background_{index}", route, other.depart_s, is_agent=False)
        for vehicle in self.vehicles:
            vehicle.route = self._extended(vehicle.trip, [vehicle.edge])
            route = [edge_ids[edge] for edge in vehicle.route]
            self.simulator.add_vehicle(vehicle.trip.agent, route, vehicle.trip.depart_s, is_agent=True)

    def advance(self, choices: Mapping[int, int]) -> None:
        with self.simulator.guarded():
            for agent in self.deciders:
                self._take(self.vehicles[agent], choices[agent])
            self.deciders = ()
            self._until_decision()

    def positions(self) -> dict[str, tuple[float, float]]:
        with self.simulator.guarded():
            return self.simulator.positions()

    def close(self) -> None:
        self.simulator.close()

    def _until_decision(self) -> None:
        simulator = self.simulator
        driving = [(k, v) for k, v in enumerate(self.vehicles) if v.exit is None]
        while not self.deciders and driving and self.time_s < self.horizon_s:
            simulator.step()
            self.time_s += 1
            arrived, teleporting = simulator.arrived(), simulator.teleporting()
            if arrived or teleporting:
                self._end_departed(arrived, teleporting)
                driving = [(k, v) for k, v in driving if v.exit is None]
            self.deciders = self._entered_an_edge(driving)
            if self.time_s % BLOCKED_CHECK_S == 0:
                self._free_blocked(driving)
            if self.time_s % SPEED_SAMPLE_S == 0:
                self._sample_speeds()
        if self.time_s >= self.horizon_s:
            self.deciders = ()
            self._cut_off(driving)

    def _end_departed(self, arrived: Iterable[str], teleporting: Iterable[str]) -> None:
        """Note the agents whose vehicles left the simulation in the last step."""
        under_way = {v.trip.agent: k for k, v in enumerate(self.vehicles) if v.exit is None}
        for agent in arrived:
            if agent in under_way:
                vehicle = self.vehicles[under_way[agent]]
                at_destination = self.network.edge_to[vehicle.route[-1]] == vehicle.trip.destination
                if at_destination:
                    self._pass_until(vehicle, len(vehicle.route) - 1)
                # SUMO dates an arrival by the beginning of the step in which it happens.
                self._end(under_way.pop(agent), Exit.ARRIVED if at_destination else Exit.LOST, self.time_s - 1)
        for agent in teleporting:
            if agent in under_way:
                self.simulator.remove_vehicle(agent)
                self._end(under_way.pop(agent), Exit.TELEPORTED, self.time_s)

    def _entered_an_edge(self, driving: list[tuple[int, Vehicle]]) -> tuple[int, ...]:
        """Follow the vehicles; returns those that must decide."""
        road, time_s = self.simulator.road, self.time_s
        deciders = []
        for agent, vehicle in driving:
            if time_s < vehicle.not_before_s:
                continue
            current = road(vehicle.trip.agent)
            if current == vehicle.seen_on or not current or current[0] == ":":
                if current and not vehicle.is_near_end and current[0] != ":":
                    self._look_ahead(vehicle)
                continue
            # A route may lead past an edge again, so the edge it has left is not looked at.
            left = 0 if vehicle.departed_s is None else 1
            self._pass_until(vehicle, vehicle.route.index(self.network.edge_index[current], left))
            if vehicle.departed_s is None:
                # Inserted in the step that has just ended, and SUMO dates that by the step's beginning.
                vehicle.departed_s = float(time_s - 1)
            vehicle.seen_on = current
            vehicle.entered_s = float(time_s)
            vehicle.not_before_s = time_s + self._min_time_on_edge_s[vehicle.edge]
            vehicle.is_near_end = False
            vehicle.choice = -1
            self._changed.add(agent)
            if self.network.edge_to[vehicle.edge] == vehicle.trip.destination:
                self._set_route(vehicle, [vehicle.edge])
            else:
                deciders.append(agent)
        return tuple(deciders)

    def _look_ahead(self, vehicle: Vehicle) -> None:
        """Spare the vehicle further looks until it can have reached the end of its edge."""
        remaining_m = self.network.edge_length_m[vehicle.edge] - self.simulator.lane_position_m(vehicle.trip.agent)
        # As in `_min_time_on_edge_s`.
        margin_s = float(remaining_m / self.network.edge_speed_mps[vehicle.edge]) / 2.0 - 2.0
        vehicle.is_near_end = margin_s < 2.0
        vehicle.not_before_s = self.time_s + margin_s

    def _pass_until(self, vehicle: Vehicle, position: int) -> None:
        """Move the vehicle along its route, crediting it with edges it crossed within one step."""
        for passed in vehicle.route[1 : position + 1]:
            vehicle.junctions.append(int(self.network.edge_from[passed]))
            vehicle.edges.append(passed)
        vehicle.route = vehicle.route[position:]
        vehicle.edge = vehicle.route[0]

    def _take(self, vehicle: Vehicle, choice: int) -> None:
        vehicle.choice = choice
        if not self._already_leads_to(vehicle, choice):
            self._set_route(vehicle, self._extended(vehicle.trip, [vehicle.edge, choice]))

    def _already_leads_to(self, vehicle: Vehicle, choice: int) -> bool:
        """Whether the vehicle's route takes the choice next and is long enough as it is."""
        ahead = vehicle.route[1:]
        if not ahead or ahead[0] != choice:
            return False
        ends_at_destination = self.network.edge_to[ahead[-1]] == vehicle.trip.destination
        return bool(ends_at_destination or self.network.edge_length_m[ahead[1:]].sum() >= PROVISIONAL_ROUTE_M)

    def _set_route(self, vehicle: Vehicle, route: list[int]) -> None:
        if route == vehicle.route:
            return
        vehicle.route = route
        self.simulator.set_route(vehicle.trip.agent, [self.network.edge_ids[edge] for edge in route])

    def _extended(self, trip: Trip, route: list[int]) -> list[int]:
        """The route, made long enough for the vehicle not to run out of it before its next decision."""
        length, base = 0.0, len(route)
        while self.network.edge_to[route[-1]] != trip.destination and (
            length < PROVISIONAL_ROUTE_M or len(route) == base
        ):
            following = self._paths.next_edges(trip.destination)[route[-1]]
            route.append(following)
            length += float(self.network.edge_length_m[following])
        return route

    def _free_blocked(self, driving: list[tuple[int, Vehicle]]) -> None:
        """Redirect vehicles that stand at the end of a lane that does not lead to their choice."""
        for agent, vehicle in driving:
            waited_enough = vehicle.entered_s is not None and self.time_s - vehicle.entered_s > BLOCKED_S
            if vehicle.exit is not None or vehicle.choice < 0 or not waited_enough:
                continue
            exits = self.simulator.lane_exits_when_blocked(vehicle.trip.agent, BLOCKED_S, BLOCKED_WITHIN_M)
            if exits is None:
                continue
            index = self.network.edge_index
            served = [index[edge] for edge in exits if edge in index]
            if served and vehicle.choice not in served:
                cost_to_go = self._paths.cost_to_go(vehicle.trip.destination)
                self._take(vehicle, min(served, key=lambda e: cost_to_go[e] + self._paths.edge_cost[e]))
                self._deviations[agent] = self.network.slot(vehicle.edge, vehicle.choice)

    def _sample_speeds(self) -> None:
        now = np.maximum(self.simulator.edge_speeds_mps(self.network.edge_ids), MIN_SPEED_MPS)
        self.edge_speeds_mps += self._speed_weight * (now - self.edge_speeds_mps)
        self.speed_samples += 1

    def _cut_off(self, driving: list[tuple[int, Vehicle]]) -> None:
        for agent, vehicle in driving:
            if vehicle.exit is not None:
                continue
            if vehicle.entered_s is None:
                self._end(agent, Exit.NOT_INSERTED, self.time_s)
            else:
                is_stuck = self.time_s - vehicle.entered_s >= STUCK_S
                self._end(agent, Exit.STUCK if is_stuck else Exit.HORIZON, self.time_s)
