"""What agents have earned since the last step."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.choices import numbers
from sumo_marl_env.errors import ConfigError
from sumo_marl_env.rewards import Reward
from sumo_marl_env.scenarios.scenario import Scenario
from sumo_marl_env.simulation.fleet import Fleet
from sumo_marl_env.types import Exit


def earned(
    reward: Reward,
    elapsed_s: NDArray[np.float64],
    approach_m: NDArray[np.float64],
    arrived: NDArray[np.bool_],
    is_live: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """(n,) rewards of one step; 0 for agents that had left. See `Reward` for the arguments.

    Raises:
        ConfigError: if the reward returns another shape than (n,), no numbers, or not finite ones.
    """
    rewards = numbers("reward", reward, reward(elapsed_s, approach_m, arrived), is_live.shape)
    # A reward may be NaN where nothing is left to divide by.
    rewards = np.where(is_live, rewards, 0.0)
    if not np.isfinite(rewards).all():
        raise ConfigError(f"reward {reward!r} is not finite for an agent that is under way: {rewards.tolist()}")
    return rewards


class TripProgress:
    """Time that has passed and distance that has been gained, per agent, from one settlement to the next.

    Args:
        scenario: the agents' trips.
    """

    def __init__(self, scenario: Scenario) -> None:
        network, trips = scenario.network, scenario.trips
        self._to_destination_m = np.array(
            [np.linalg.norm(network.junction_xy - network.junction_xy[trip.destination], axis=1) for trip in trips]
        )
        self._at_origin_m = self._to_destination_m[range(len(trips)), [trip.origin for trip in trips]]
        self._departs_s = np.array([trip.depart_s for trip in trips])
        self.begin()

    def begin(self) -> None:
        """As it is at time 0."""
        self._since_s = np.maximum(self._departs_s, 0.0)
        self.distance_m = self._at_origin_m.copy()
        """(n,) straight-line metres to the destination from the junction that each agent passed last."""
        self._ends_s = np.full(len(self._departs_s), np.inf)
        self.is_live = np.ones(len(self._departs_s), bool)
        """(n,) whether each agent is under way, or waits for its departure."""

    def elapsed_s(self, time_s: float) -> list[float]:
        """Seconds from each agent's departure time until now, or until it left."""
        elapsed_s: list[float] = np.maximum(np.minimum(time_s, self._ends_s) - self._departs_s, 0.0).tolist()
        return elapsed_s

    def settle(self, fleet: Fleet, changed: Iterable[int], reward: Reward) -> NDArray[np.float64]:
        """(n,) rewards since the last call, or since time 0; 0 for agents that had left.

        Args:
            fleet: the vehicles as they are now.
            changed: agents whose vehicle has entered an edge or left since.
            reward: what turns progress into rewards.

        Raises:
            ConfigError: if it returns another shape than (n,), no numbers, or not finite ones.
        """
        time_s = float(fleet.time_s)
        # A few operations on small arrays: this runs in every step.
        elapsed_s, approach_m = time_s - self._since_s, np.zeros(len(self.is_live))
        arrived = np.zeros(len(self.is_live), bool)
        ended = []
        for index in changed:
            vehicle = fleet.vehicles[index]
            arrived[index] = vehicle.exit == Exit.ARRIVED
            distance_m = 0.0 if arrived[index] else float(self._to_destination_m[index, vehicle.junctions[-1]])
            approach_m[index] = self.distance_m[index] - distance_m
            self.distance_m[index] = distance_m
            if vehicle.end_s is not None:
                self._ends_s[index] = vehicle.end_s
                elapsed_s[index] = vehicle.end_s - self._since_s[index]
                ended.append(index)
        rewards = earned(reward, np.maximum(elapsed_s, 0.0) * self.is_live, approach_m, arrived, self.is_live)
        self._since_s = np.maximum(self._departs_s, time_s)
        self.is_live[ended] = False
        return rewards
