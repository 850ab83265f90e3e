"""Infos of numbers only, for libraries that turn every entry into a tensor."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pettingzoo import ParallelEnv
from pettingzoo.utils.wrappers import BaseParallelWrapper

from sumo_marl_env.types import AgentID, Exit

NUMERIC_KEYS = ("arrived", "elapsed_s", "has_left", "invalid_action", "is_decider", "travel_time_s")
"""What is left in the infos; every agent has all of it in every step."""


class NumericInfos(BaseParallelWrapper):
    """The same episodes with infos of floats; made by `numeric_infos`.

    | key                                           | value                                                       |
    |-----------------------------------------------|-------------------------------------------------------------|
    | `is_decider`, `invalid_action`, `elapsed_s`   | as in `RoutingEnv`; 1.0 for true                            |
    | `arrived`                                     | 1.0 once the agent has arrived                              |
    | `travel_time_s`                               | 0.0 while under way: tensors hold no None                   |
    | `has_left`                                    | as in `FixedTeam`; 0.0 without that wrapper                 |

    The action mask is in the observations only: with `to_fixed_team(env, flatten=True)` it is nowhere.

    Args:
        env: a `RoutingEnv` or a `FixedTeam`.
    """

    def __copy__(self) -> NumericInfos:
        return NumericInfos(copy.copy(self.env))

    def reset(
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[AgentID, Any], dict[AgentID, dict[str, float]]]:
        """Begin an episode; see `RoutingEnv.reset`."""
        observations, infos = super().reset(seed=seed, options=options)
        return observations, _numbers(infos)

    def step(self, actions: Mapping[AgentID, int]) -> tuple[dict, dict, dict, dict, dict]:
        """See `RoutingEnv.step`."""
        observations, rewards, terminations, truncations, infos = super().step(actions)
        return observations, rewards, terminations, truncations, _numbers(infos)


def numeric_infos(env: ParallelEnv) -> NumericInfos:
    """For libraries that turn every info into a tensor, as TorchRL does.

    Args:
        env: an environment, as `parallel_env` or `to_fixed_team` returns it.

    Returns:
        The same episodes; `NumericInfos` says what the infos hold.
    """
    if not isinstance(env, ParallelEnv):
        raise TypeError(f"numeric_infos takes what parallel_env or to_fixed_team returns, not {type(env).__name__}")
    return NumericInfos(env)


def _numbers(infos: Mapping[AgentID, Mapping[str, Any]]) -> dict[AgentID, dict[str, float]]:
    numbers = {}
    for agent, info in infos.items():
        known = {**info, "arrived": info["exit"] == Exit.ARRIVED}
        numbers[agent] = {key: float(known.get(key) or 0.0) for key in NUMERIC_KEYS}
    return numbers
