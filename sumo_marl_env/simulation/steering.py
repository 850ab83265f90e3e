"""Edge-by-edge control of the agents' vehicles that loses none of them.

SUMO removes a vehicle whose route ends, and a very short edge can be crossed within one step. So a route always extends
past the edge the agent chose, along the shortest path to its destination, and is replaced at the agent's next decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from sumo_marl_env.errors import SimulatorError
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.maps.paths import shortest_paths
from sumo_marl_env.scenarios.demand import BackgroundVehicle
from sumo_marl_env.simulation.fleet import Fleet, Vehicle
from sumo_marl_env.simulation.foresight import Foresight
from sumo_marl_env.simulation.simulator import Simulator
from sumo_marl_env.types import Exit, Trip

PROVISIONAL_ROUTE_M = 60.0
"""A route reaches at least this far past the chosen edge."""

BLOCKED_S, BLOCKED_WITHIN_M = 20.0, 15.0
"""A vehicle in a lane that does not lead to its choice gives way after this long, this near to the lane's end."""

CHECK_S = 20
"""How often all vehicles are looked at, for those that are blocked."""

STUCK_S = 300.0
"""An agent that has been on one edge for this long at the horizon is called stuck."""

SPEED_SAMPLE_S = 40
"""Edge speeds are read this often, a multiple of `CHECK_S`: reading all edges costs as much as one simulation step. No
divisor of a signal's cycle, which would show the same phases again and again."""

MIN_SPEED_MPS = 0.1


class Steering(Fleet):
    """Drives the agents' vehicles through one episode after the other, with SUMO in this process.

    Args:
        simulator: the simulation.
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
        smoothing_s: float,
    ) -> None:
        super().__init__(network, trips, horizon_s)
        self.simulator = simulator
        self._speed_weight = 1.0 if smoothing_s <= 0 else 1.0 - float(np.exp(-SPEED_SAMPLE_S / smoothing_s))
        self._paths = shortest_paths(network, "free_flow_time")
        # Plain lists: reading one number of an array takes longer than the arithmetic on it.
        self._length_m = network.edge_length_m.tolist()
        self._edge_from, self._edge_to = network.edge_from.tolist(), network.edge_to.tolist()
        self._foresight = Foresight(simulator, network)
        self._agent_index = {trip.agent: agent for agent, trip in enumerate(self.trips)}

    @property
    def wall_s(self) -> float:
        return self.simulator.wall_s

    def reset(self, seed: int, background: Iterable[BackgroundVehicle], route_file: Path | None = None) -> None:
        self._clear()
        self._num_under_way = len(self.vehicles)
        self._looks: dict[int, list[int]] = {}
        for agent, trip in enumerate(self.trips):
            # Whoever departs in a second is on the road at its end.
            self._look_at(agent, int(trip.depart_s) + 1)
        self.simulator.load(self.network.net_file, seed, route_file)
        with self.simulator.guarded():
            self._mixed_lanes = self._lanes_of_mixed_roads()
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
        while not self.deciders and self._num_under_way and self.time_s < self.horizon_s:
            self.time_s = self._next_look_s()
            simulator.step(self.time_s)
            arrived, teleporting = simulator.arrived(), simulator.teleporting()
            if arrived or teleporting:
                self._end_departed(arrived, teleporting)
            self.deciders = self._entered_an_edge()
            if self.time_s % CHECK_S == 0:
                self._free_blocked()
                if self.time_s % SPEED_SAMPLE_S == 0:
                    self._sample_speeds()
        if self.time_s >= self.horizon_s:
            self.deciders = ()
            self._cut_off()

    def _next_look_s(self) -> int:
        """The next second at which there may be something to do."""
        time_s = self.time_s + 1
        while time_s not in self._looks and time_s % CHECK_S and time_s < self.horizon_s:
            time_s += 1
        return time_s

    def _look_at(self, agent: int, time_s: int) -> None:
        """Look at the agent's vehicle then, and not before."""
        self.vehicles[agent].look_s = time_s
        self._looks.setdefault(time_s, []).append(agent)

    def _end_departed(self, arrived: Sequence[str], teleporting: Sequence[str]) -> None:
        """Note the agents whose vehicles left the simulation in the last step."""
        for agent in self._under_way(teleporting):
            # From an edge where its route ends SUMO takes it out itself, and calls that an arrival as well.
            if self.trips[agent].agent not in arrived:
                self.simulator.remove_vehicle(self.trips[agent].agent)
            self._end(agent, Exit.TELEPORTED, self.time_s)
        for agent in self._under_way(arrived):
            vehicle = self.vehicles[agent]
            at_destination = self._edge_to[vehicle.route[-1]] == vehicle.trip.destination
            if at_destination:
                self._pass_until(vehicle, len(vehicle.route) - 1)
            # SUMO dates an arrival by the beginning of the step in which it happens.
            self._end(agent, Exit.ARRIVED if at_destination else Exit.LOST, self.time_s - 1)

    def _under_way(self, vehicles: Iterable[str]) -> list[int]:
        """Those of the vehicles that belong to agents under way."""
        agents = [self._agent_index[vehicle] for vehicle in vehicles if vehicle in self._agent_index]
        return [agent for agent in agents if self.vehicles[agent].exit is None]

    def _end(self, agent: int, exit: Exit, time_s: float) -> None:
        super()._end(agent, exit, time_s)
        self._num_under_way -= 1

    def _entered_an_edge(self) -> tuple[int, ...]:
        """Follow the vehicles that are to be looked at now; returns those that must decide."""
        road, time_s = self.simulator.road, self.time_s
        deciders = []
        for agent in sorted(self._looks.pop(time_s, ())):
            vehicle = self.vehicles[agent]
            if vehicle.exit is not None or vehicle.look_s != time_s:
                continue
            current = road(vehicle.trip.agent)
            if not current or current[0] == ":":
                self._look_at(agent, time_s + 1)
            elif current == vehicle.seen_on:
                self._look_at(agent, time_s + self._foresight.seconds_to_end(vehicle, time_s))
            elif (own := self._own_side(vehicle, current)) == vehicle.seen_on:
                self._look_at(agent, time_s + 1)
            else:
                self._enter(vehicle, own)
                is_overtaking = own != current
                self._look_at(agent, time_s + (1 if is_overtaking else self._foresight.seconds_on_edge(vehicle)))
                self._changed.add(agent)
                if self._edge_to[vehicle.edge] == vehicle.trip.destination:
                    self._set_route(vehicle, [vehicle.edge])
                else:
                    deciders.append(agent)
        return tuple(deciders)

    def _own_side(self, vehicle: Vehicle, edge_id: str) -> str:
        """The road of its route on which the vehicle is: where it overtakes on the opposite lane, SUMO names that."""
        edge = self.network.edge_index.get(edge_id)
        if edge is None or edge in vehicle.route:
            return edge_id
        ends = self._edge_to[edge], self._edge_from[edge]
        own = (one for one in vehicle.route if (self._edge_from[one], self._edge_to[one]) == ends)
        return next((self.network.edge_ids[one] for one in own), edge_id)

    def _enter(self, vehicle: Vehicle, edge_id: str) -> None:
        # A route may lead past an edge again, so the edge it has left is not looked at.
        left = 0 if vehicle.departed_s is None else 1
        edge = self.network.edge_index.get(edge_id)
        if edge not in vehicle.route[left:]:
            raise SimulatorError(
                f"{vehicle.trip.agent} is on edge {edge_id!r}, off the route that it was given; leave out sumo_options "
                "that send vehicles another way"
            )
        self._pass_until(vehicle, vehicle.route.index(edge, left))
        if vehicle.departed_s is None:
            # Inserted in the step that has just ended, and SUMO dates that by the step's beginning.
            vehicle.departed_s = float(self.time_s - 1)
            vehicle.speed_factor, vehicle.acceleration_mps2 = self.simulator.temperament(vehicle.trip.agent)
        vehicle.seen_on = edge_id
        vehicle.entered_s = float(self.time_s)
        vehicle.choice = -1

    def _pass_until(self, vehicle: Vehicle, position: int) -> None:
        """Move the vehicle along its route, crediting it with edges it crossed within one step."""
        for passed in vehicle.route[1 : position + 1]:
            vehicle.junctions.append(self._edge_from[passed])
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
        ends_at_destination = self._edge_to[ahead[-1]] == vehicle.trip.destination
        return ends_at_destination or sum(self._length_m[edge] for edge in ahead[1:]) >= PROVISIONAL_ROUTE_M

    def _set_route(self, vehicle: Vehicle, route: list[int]) -> None:
        if route == vehicle.route:
            return
        vehicle.route = route
        self.simulator.set_route(vehicle.trip.agent, [self.network.edge_ids[edge] for edge in route])

    def _extended(self, trip: Trip, route: list[int]) -> list[int]:
        """The route, made long enough for the vehicle not to run out of it before its next decision."""
        length_m, next_edges = 0.0, self._paths.next_edges(trip.destination)
        while self._edge_to[route[-1]] != trip.destination and length_m < PROVISIONAL_ROUTE_M:
            route.append(next_edges[route[-1]])
            length_m += self._length_m[route[-1]]
        return route

    def _free_blocked(self) -> None:
        """Redirect vehicles that stand at the end of a lane that does not lead to their choice."""
        for agent, vehicle in enumerate(self.vehicles):
            # A choice is made when an edge is entered.
            if vehicle.choice < 0 or self.time_s - (vehicle.entered_s or 0.0) <= BLOCKED_S:
                continue
            exits = self.simulator.lane_exits_when_blocked(vehicle.trip.agent, BLOCKED_S, BLOCKED_WITHIN_M)
            if exits is None:
                continue
            index = self.network.edge_index
            # Some lanes also lead to roads, or lanes of them, on which cars may not drive.
            served = [index[edge] for edge in exits if index.get(edge) in self.network.successors[vehicle.edge]]
            if served and vehicle.choice not in served:
                cost_to_go = self._paths.cost_to_go(vehicle.trip.destination)
                self._take(vehicle, min(served, key=lambda e: cost_to_go[e] + self._paths.edge_cost[e]))
                self._deviations[agent] = self.network.slot(vehicle.edge, vehicle.choice)
                # The other way may be open, or shorter, than the one for which the next look was planned.
                self._look_at(agent, self.time_s + 1)

    def _lanes_of_mixed_roads(self) -> dict[int, Mapping[str, float]]:
        """Of each road whose lanes have several limits, those for cars, on roads that are still empty.

        An empty lane counts as one vehicle at its limit in SUMO's means: with a pavement a free road would look jammed.
        """
        ids, limits_mps = self.network.edge_ids, self.network.edge_speed_mps
        is_mixed = ~np.isclose(self.simulator.edge_speeds_mps(ids), limits_mps)
        return {edge: self.simulator.car_lanes_mps(ids[edge]) for edge in np.flatnonzero(is_mixed).tolist()}

    def _sample_speeds(self) -> None:
        now = self.simulator.edge_speeds_mps(self.network.edge_ids)
        for edge, lanes_mps in self._mixed_lanes.items():
            now[edge] = self.network.edge_speed_mps[edge] * self.simulator.share_of_limits(lanes_mps)
        now = np.maximum(now, MIN_SPEED_MPS)
        self.edge_speeds_mps += self._speed_weight * (now - self.edge_speeds_mps)
        self.speed_samples += 1

    def _cut_off(self) -> None:
        for agent, vehicle in enumerate(self.vehicles):
            if vehicle.exit is not None:
                continue
            if vehicle.entered_s is None:
                self._end(agent, Exit.NOT_INSERTED, self.time_s)
            else:
                is_stuck = self.time_s - vehicle.entered_s >= STUCK_S
                self._end(agent, Exit.STUCK if is_stuck else Exit.HORIZON, self.time_s)
