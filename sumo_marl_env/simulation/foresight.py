"""When a vehicle can be on its next edge at the earliest.

An agent decides in the second in which its vehicle enters an edge. To find that second nobody has to look in every one:
from its position, speed, acceleration and the lights follows when the vehicle can be there at the earliest, and SUMO is
stepped from one such second to the next. In an episode of gridtown with ten random agents that makes 2500 looks instead
of 10900, and 1390 calls of SUMO for 2400 steps. What happens is the same. Where options of SUMO change how vehicles
move (`Simulator.is_foreseeable`), every second is looked at.
"""

from __future__ import annotations

import math

from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.simulation.fleet import Vehicle
from sumo_marl_env.simulation.simulator import Simulator

TELEPORT_S = 290
"""After this long on one edge a vehicle is looked at in every step: SUMO teleports one that stands for 300 s. (After a
collision, which drivers avoid, it does so at once; that is seen by the next look.)"""

STANDING_MPS = 0.1
"""A slower vehicle stands, and does not pass a red light."""


class Foresight:
    """Looks ahead for the agents' vehicles.

    Args:
        simulator: the simulation.
        network: the road network.
    """

    def __init__(self, simulator: Simulator, network: RoadNetwork) -> None:
        self._simulator = simulator
        self._network = network
        self._length_m = network.edge_length_m.tolist()
        limits = network.edge_speed_mps.tolist()
        # The junction at an edge's end is driven through at no more than the higher of two limits.
        self._top_mps = [max([limits[e], *(limits[f] for f in network.successors[e])]) for e in range(len(limits))]
        self._inside_m: dict[int, dict[int, float]] = {}

    def seconds_on_edge(self, vehicle: Vehicle) -> int:
        """How many steps, at least 1, the vehicle stays on an edge of which it has driven at most one step."""
        if not self._simulator.is_foreseeable:
            return 1
        seconds = self._way_m(vehicle) / (self._top_mps[vehicle.edge] * vehicle.speed_factor) - 1.0
        return max(1, int(min(seconds, TELEPORT_S)))

    def seconds_to_end(self, vehicle: Vehicle, time_s: int) -> int:
        """After how many steps, at least 1, the vehicle can be on another edge or gone."""
        assert vehicle.entered_s is not None
        most = int(vehicle.entered_s) + TELEPORT_S - time_s
        if most <= 1 or not self._simulator.is_foreseeable:
            return 1
        agent, edge = vehicle.trip.agent, vehicle.edge
        position_m, speed_mps = self._simulator.motion(agent)
        if speed_mps < STANDING_MPS:
            # Otherwise this would be half of all looks.
            red_until_s = int(self._simulator.red_until_s(agent, self._length_m[edge] - position_m))
            if red_until_s > time_s:
                return min(most, red_until_s + 1 - time_s)
        top_mps = self._top_mps[edge] * vehicle.speed_factor
        ahead_m = self._way_m(vehicle) - position_m
        return min(most, steps_to_drive(ahead_m, speed_mps, top_mps, vehicle.acceleration_mps2))

    def _way_m(self, vehicle: Vehicle) -> float:
        """From the beginning of the vehicle's edge to the next edge, or to where its trip ends."""
        edge = vehicle.edge
        if vehicle.choice < 0:
            return self._length_m[edge]
        if edge not in self._inside_m:
            index = self._network.edge_index
            ways_m = self._simulator.ways_inside_junction_m(self._network.edge_ids[edge])
            self._inside_m[edge] = {
                index[following]: way_m for following, way_m in ways_m.items() if following in index
            }
        return self._length_m[edge] + self._inside_m[edge].get(vehicle.choice, 0.0)


def steps_to_drive(distance_m: float, speed_mps: float, top_mps: float, acceleration_mps2: float) -> int:
    """After how many steps of one second, at least 1, a vehicle can have driven `distance_m`.

    SUMO's vehicles first gain speed and then drive: speed v takes one v + a, v + 2 a, ... metres further.
    """
    top_mps = max(top_mps, speed_mps)
    gain_s = (top_mps - speed_mps) / acceleration_mps2
    gain_m = gain_s * (speed_mps + 0.5 * acceleration_mps2 * (gain_s + 1.0))
    # Vehicles arrive a little before the end, and numbers are rounded.
    distance_m = max(0.0, distance_m - 0.2)
    if gain_m < distance_m:
        steps = gain_s + (distance_m - gain_m) / top_mps
    else:
        first_mps = speed_mps + 0.5 * acceleration_mps2
        steps = (math.sqrt(first_mps**2 + 2.0 * acceleration_mps2 * distance_m) - first_mps) / acceleration_mps2
    return max(1, math.ceil(steps))
