"""Returns of one trajectory (Eq. 26), as a pure function."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def lambda_returns(
    rewards: NDArray[np.float32],
    values: NDArray[np.float32],
    final_value: float,
    *,
    gamma: float,
    lambda_: float,
) -> NDArray[np.float32]:
    """Returns R_k of one trajectory; R - values is its generalised advantage estimate.

    With lambda_ = 1 this is Eq. 26, the discounted sum of rewards. Discounting counts decisions, as index k does.

    Args:
        rewards: (n,) from each decision to the next.
        values: (n,) value of what was seen at each decision.
        final_value: value of what was seen last, if the trajectory was cut off; 0 if it ended by arrival.
        gamma: discount per decision.
        lambda_: 0 bootstraps at the next decision, 1 at the end.

    Returns:
        (n,) float32.
    """
    returns = np.empty(len(rewards), np.float32)
    following, following_value = final_value, final_value
    reward_list, value_list = rewards.tolist(), values.tolist()
    for row in range(len(reward_list) - 1, -1, -1):
        following = reward_list[row] + gamma * ((1.0 - lambda_) * following_value + lambda_ * following)
        returns[row] = following
        following_value = value_list[row]
    return returns
