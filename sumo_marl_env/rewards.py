"""Rewards: small classes that turn progress into numbers.

One of your own is a class whose instances can be called as `Reward` says; `parallel_env(reward=YourClass)` calls it
with the scenario.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.choices import chosen
from sumo_marl_env.errors import ConfigError

if TYPE_CHECKING:
    from sumo_marl_env.scenarios.scenario import Scenario


class Reward(Protocol):
    """Rewards of all n agents for one environment step."""

    def __call__(
        self, elapsed_s: NDArray[np.float64], approach_m: NDArray[np.float64], arrived: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """(n,) rewards.

        Args:
            elapsed_s: (n,) seconds of the step during which the agent was under way.
            approach_m: (n,) by how much its straight-line distance to its destination decreased.
            arrived: (n,) whether it arrived in this step.
        """


class PaperReward:
    """Eq. 32: -(t_k - t_{k-1}) + w_d (d_{k-1} - d_k), and 0.1 T_max on arrival.

    Distances are measured at junctions, so they change when a vehicle enters an edge. The undiscounted return of an
    agent that arrives is its first distance minus its travel time plus 0.1 T_max.

    Args:
        scenario: its horizon is T_max.
        distance_weight: w_d.
        arrival_share: what an arrival earns, as a share of T_max.
    """

    def __init__(self, scenario: Scenario, distance_weight: float = 1.0, arrival_share: float = 0.1) -> None:
        self._arrival_bonus = arrival_share * scenario.horizon_s
        self._distance_weight = distance_weight

    def __call__(
        self, elapsed_s: NDArray[np.float64], approach_m: NDArray[np.float64], arrived: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        return -elapsed_s + self._distance_weight * approach_m + self._arrival_bonus * arrived


REWARDS: dict[str, Callable[[Scenario], Reward]] = {
    "paper": PaperReward,
    "travel_time": partial(PaperReward, distance_weight=0.0, arrival_share=0.0),
}
"""Rewards by name, for `parallel_env(reward=...)`. With "travel_time" an agent's return is minus its travel time. Add
your own; a name is known in the process that added it."""


def chosen_reward(choice: Any, scenario: Scenario) -> Reward:
    """The reward that a name, a class or an instance stands for.

    Raises:
        ConfigError: if it is unknown, or cannot be called.
    """
    reward = chosen("reward", choice, REWARDS, scenario)
    if not callable(reward):
        raise ConfigError(f"reward {reward!r} must be callable, as sumo_marl_env.Reward says")
    return reward
