"""Rewards: small classes that turn progress into numbers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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
        horizon_s: T_max.
        distance_weight: w_d.
    """

    def __init__(self, horizon_s: float, distance_weight: float = 1.0) -> None:
        self._arrival_bonus = 0.1 * horizon_s
        self._distance_weight = distance_weight

    def __call__(
        self, elapsed_s: NDArray[np.float64], approach_m: NDArray[np.float64], arrived: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        return -elapsed_s + self._distance_weight * approach_m + self._arrival_bonus * arrived
