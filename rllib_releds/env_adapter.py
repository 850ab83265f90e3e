"""`RoutingEnv` for RLlib: the same episodes, with only those agents in the dicts that have a decision to make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from sumo_marl_env import AgentID, Exit, RoutingEnv, parallel_env

Observation = dict[str, NDArray | np.int64]


class RoutingMultiAgentEnv(MultiAgentEnv):
    """Traffic routing in SUMO, for RLlib.

    | fact | value |
    |---|---|
    | agents | `vehicle_0` ... ; one is in the dicts when it has a decision, and once when it ends if it ever had one |
    | observation | that of `RoutingEnv`, and `agent_index`, its row in the stacked module |
    | reward | summed since the agent's last decision |
    | ends | arrival: terminated; anything else: truncated, with the reason in info["exit"] |

    RLlib's own PettingZoo wrapper ends the episode when the first vehicle arrives alone in the dict, so it cannot be
    used. Mind that an agent that ends gets a final observation, which RLlib needs to bootstrap from.

    Args:
        config: arguments of `sumo_marl_env.parallel_env`.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.routing_env: RoutingEnv = parallel_env(**dict(config or {}))
        self.possible_agents = list(self.routing_env.possible_agents)
        # RLlib reads `agents` before the first reset, to learn which policies there are.
        self.agents = list(self.possible_agents)
        self._index = {agent: index for index, agent in enumerate(self.possible_agents)}
        index_space: gymnasium.spaces.Discrete = gymnasium.spaces.Discrete(len(self.possible_agents))
        self.observation_spaces = {
            agent: gymnasium.spaces.Dict(
                {**self.routing_env.observation_space(agent).spaces, "agent_index": index_space}
            )
            for agent in self.possible_agents
        }
        self.action_spaces = {agent: self.routing_env.action_space(agent) for agent in self.possible_agents}
        super().__init__()
        self._owed = np.zeros(len(self.possible_agents))
        self._began: set[AgentID] = set()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[AgentID, Observation], dict[AgentID, dict[str, Any]]]:
        """Begin an episode; see `RoutingEnv.reset`."""
        self.routing_env.begin(seed)
        self.agents = list(self.routing_env.agents)
        self._owed[:] = 0.0
        deciders = self.routing_env.deciders
        self._began = set(deciders)
        return self._observations(deciders), self._infos(deciders)

    def step(self, action_dict: Mapping[AgentID, int]) -> tuple[dict, dict, dict, dict, dict]:
        """Give every agent of the last dicts its edge and advance to the next decision; see `RoutingEnv.step`."""
        env = self.routing_env
        live = self.agents
        self._owed += env.advance(action_dict)
        self.agents = list(env.agents)
        # An agent that never had a decision has no place in RLlib's episode, and nothing to learn from.
        ended = [agent for agent in live if agent not in env.agents and agent in self._began]
        acting = list(env.deciders)
        self._began.update(acting)
        present = ended + acting
        rewards = {agent: float(self._owed[self._index[agent]]) for agent in present}
        for agent in present:
            self._owed[self._index[agent]] = 0.0
        infos = self._infos(present)
        terminated = {agent: infos[agent]["exit"] == Exit.ARRIVED for agent in present}
        truncated = {agent: infos[agent]["exit"] not in (None, Exit.ARRIVED) for agent in present}
        over = not env.agents
        all_truncated = over and any(truncated.values())
        terminated["__all__"], truncated["__all__"] = over and not all_truncated, all_truncated
        return self._observations(present), rewards, terminated, truncated, infos

    def close(self) -> None:
        self.routing_env.close()

    def _observations(self, agents: list[AgentID] | tuple[AgentID, ...]) -> dict[AgentID, Observation]:
        return {
            agent: {**self.routing_env.observe(agent), "agent_index": np.int64(self._index[agent])} for agent in agents
        }

    def _infos(self, agents: list[AgentID] | tuple[AgentID, ...]) -> dict[AgentID, dict[str, Any]]:
        return {agent: self.routing_env.info(agent) for agent in agents}
