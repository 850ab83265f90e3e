"""RELED-Logit: instead of a language model, a softmax over shortest-path costs chooses every next edge."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from rllib_releds.demonstrations.protocol import Demonstrations, DemonstrationTrace, Demonstrator
from sumo_marl_env import AgentID, Instruction, Navigator, shortest_paths


@dataclass(frozen=True)
class LogitDemonstrations(Demonstrations):
    """P(edge) is proportional to exp(-sensitivity * cost), cost being that of the best path that begins with the edge.

    Attributes:
        sensitivity: per unit of cost; 0 is uniform, large is the shortest path.
        cost: "free_flow_time" (seconds) or "length" (metres).
        seed: of the draws; every agent has a stream of its own.
    """

    sensitivity: float = 0.1
    cost: str = "free_flow_time"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sensitivity < 0 or self.cost not in ("free_flow_time", "length"):
            raise ValueError(
                "sensitivity must be 0 or more and cost 'free_flow_time' or 'length', "
                f"got {self.sensitivity} and {self.cost!r}"
            )

    def demonstrator(self, agents: Sequence[AgentID]) -> Demonstrator:
        return LogitDemonstrator(self, agents)


class LogitDemonstrator:
    """Draws an edge at every decision; each drawn edge counts as one instruction, to move to its end."""

    def __init__(self, rule: LogitDemonstrations, agents: Sequence[AgentID]) -> None:
        self._rule = rule
        self._agents = tuple(agents)
        self._navigators: Mapping[AgentID, Navigator] = {}
        self._random: dict[AgentID, np.random.Generator] = {}
        self._instructions: dict[AgentID, list[Instruction]] = {}

    def start(self, navigators: Mapping[AgentID, Navigator]) -> None:
        self._navigators = navigators
        self._random = {
            agent: np.random.default_rng([self._rule.seed, zlib.crc32(agent.encode())]) for agent in self._agents
        }
        self._instructions = {agent: [] for agent in self._agents}

    def act(self, agent: AgentID) -> int:
        navigator = self._navigators[agent]
        network, edge = navigator.network, navigator.current_edge
        following = list(network.successors[edge])
        paths = shortest_paths(network, self._rule.cost)
        costs = paths.edge_cost[following] + paths.cost_to_go(navigator.trip.destination)[following]
        chosen = following[int(self._random[agent].choice(len(following), p=softmax(-self._rule.sensitivity * costs)))]
        self._instructions[agent].append(Instruction("move_to_by_shortest_path", int(network.edge_to[chosen])))
        return network.slot(edge, chosen)

    def finish(self) -> dict[AgentID, DemonstrationTrace]:
        return {
            agent: DemonstrationTrace(tuple(instructions), np.arange(len(instructions), dtype=np.int32))
            for agent, instructions in self._instructions.items()
        }
