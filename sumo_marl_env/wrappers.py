"""Views of the environment for libraries that cannot bear all of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium
from numpy.typing import NDArray
from pettingzoo import ParallelEnv
from pettingzoo.utils.wrappers import BaseParallelWrapper

from sumo_marl_env.routing_env import RoutingEnv
from sumo_marl_env.types import AgentID

Seen = dict[str, NDArray] | NDArray


class FixedTeam(BaseParallelWrapper):
    """`RoutingEnv` with the same agents from the first step to the last; made by `to_fixed_team`.

    | what           | of an agent that has left, until the last one leaves                                        |
    |----------------|---------------------------------------------------------------------------------------------|
    | observation    | its last one; the action mask in it has one entry                                           |
    | reward         | 0 (what it earned on leaving came with the step in which it left)                           |
    | termination    | False, as for everybody, until the step in which the last agent leaves: then True if it     |
    |                | arrived                                                                                     |
    | truncation     | the same, then True if it did not arrive                                                    |
    | info           | its last one (`exit` and `travel_time_s` stay), and `has_left` is True                      |
    | action         | ignored; may be left out                                                                    |

    `info["has_left"]` is False up to and including the step in which the agent leaves, so that it marks exactly the
    rows that a loss may leave out.

    Its last observation stays, and not zeros, so that every observation is one that the policies know, and means what
    it says: where the vehicle was last.

    Args:
        env: the environment.
        flatten: whether an agent's observation is only the vector; its action mask is in `info["action_mask"]`.
    """

    def __init__(self, env: RoutingEnv, flatten: bool = False) -> None:
        super().__init__(env)
        self.agents: list[AgentID] = []
        self._flatten = flatten
        self._last: dict[AgentID, tuple[Seen, bool, dict[str, Any]]] = {}

    def __copy__(self) -> FixedTeam:
        return FixedTeam(copy.copy(self.env), self._flatten)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.env, self._flatten)

    def observation_space(self, agent: AgentID) -> gymnasium.spaces.Space:
        space = self.env.observation_space(agent)
        return space["observation"] if self._flatten else space

    def reset(
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[AgentID, Seen], dict[AgentID, dict[str, Any]]]:
        """Begin an episode; see `RoutingEnv.reset`."""
        observations, infos = self.env.reset(seed=seed, options=options)
        self.agents = list(self.env.agents)
        self._note(observations, dict.fromkeys(observations, False), infos)
        return {agent: self._last[agent][0] for agent in self.agents}, infos

    def step(self, actions: Mapping[AgentID, int]) -> tuple[dict, dict, dict, dict, dict]:
        """See `RoutingEnv.step`."""
        live = set(self.env.agents)
        observations, earned, terminations, _, infos = self.env.step(actions)
        for agent in set(self.agents) - live:
            seen, arrived, info = self._last[agent]
            self._last[agent] = seen, arrived, {**info, "has_left": True}
        self._note(observations, terminations, infos)
        team, under_way = self.agents, set(self.env.agents)
        is_over = not under_way
        if is_over:
            self.agents = []
        return (
            {agent: self._last[agent][0] if agent in under_way else self._last_seen(agent) for agent in team},
            {agent: earned.get(agent, 0.0) for agent in team},
            {agent: is_over and self._last[agent][1] for agent in team},
            {agent: is_over and not self._last[agent][1] for agent in team},
            {agent: dict(self._last[agent][2]) if agent in under_way else self._last_info(agent) for agent in team},
        )

    def close(self) -> None:
        self.env.close()
        self.agents = []

    def _last_seen(self, agent: AgentID) -> Seen:
        """Of an agent that has left: a copy, because it is given again and a caller may change what it gets."""
        return copy.deepcopy(self._last[agent][0])

    def _last_info(self, agent: AgentID) -> dict[str, Any]:
        return copy.deepcopy(dict(self._last[agent][2]))

    def _note(
        self,
        observations: Mapping[AgentID, dict[str, NDArray]],
        arrived: Mapping[AgentID, bool],
        infos: Mapping[AgentID, dict[str, Any]],
    ) -> None:
        for agent, observation in observations.items():
            seen = observation["observation"] if self._flatten else observation
            infos[agent]["has_left"] = False
            self._last[agent] = seen, arrived[agent], infos[agent]


def to_fixed_team(env: RoutingEnv, *, flatten: bool = False) -> FixedTeam:
    """For libraries in which every agent must be there until the episode ends.

    Args:
        env: an environment, as `parallel_env` returns it.
        flatten: whether observations are plain vectors, for libraries that cannot read a dict; the action mask is then
            in `info["action_mask"]`.

    Returns:
        The same episodes; `FixedTeam` says what an agent sees and earns after it has left.
    """
    if not isinstance(env, ParallelEnv) or isinstance(env, FixedTeam):
        raise TypeError(f"to_fixed_team takes what parallel_env returns, not {type(env).__name__}")
    return FixedTeam(env, flatten)
