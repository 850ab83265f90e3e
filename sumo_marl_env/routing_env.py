"""`RoutingEnv`: vehicles that choose their next road at every junction, as a PettingZoo `ParallelEnv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from sumo_marl_env.observations import Observation
from sumo_marl_env.rewards import Reward
from sumo_marl_env.routing_core import RoutingCore
from sumo_marl_env.scenario import Scenario
from sumo_marl_env.sumo import Backend
from sumo_marl_env.types import AgentID, Exit


class RoutingEnv(RoutingCore, ParallelEnv):
    """Traffic routing in SUMO.

    | fact              | value                                                                                    |
    |-------------------|------------------------------------------------------------------------------------------|
    | agents            | n vehicles, `vehicle_0` ... ; fixed before reset; each leaves when it arrives            |
    | decision          | an agent decides when its vehicle enters an edge: which edge to take at that edge's end  |
    | step              | advances SUMO until at least one live agent has a decision to make, or the horizon       |
    | action space      | Discrete(m_out): the k-th outgoing edge of the approached junction                       |
    | observation space | Dict(observation: Box (2 m_out + 2,) float32 (Table I), action_mask: Box (m_out,) int8)  |
    | action mask       | edges that the current edge's lanes lead to; one entry for agents with nothing to decide |
    | reward            | Eq. 32: seconds lost (negative) plus metres approached, and 0.1 T_max on arrival         |
    | ends              | arrival: terminated; anything else: truncated, with the reason (`Exit`) in info["exit"]  |
    | failures          | SUMO dies: every live agent is truncated, "simulator_failed"; reset starts it again      |
    | version           | 0                                                                                        |

    A masked-out action is replaced by the nearest valid slot and flagged in `info["invalid_action"]`, or, with
    `strict=True`, answered with an error. Actions of agents with nothing to decide are ignored and may be left out.

    `info` of each agent: `is_decider`, `action_mask` (the same array), `edge` (SUMO id), `junction` (index of the
    approached junction), `departed_s` (when SUMO inserted the vehicle; None before), `elapsed_s` (since the trip's
    departure time), `travel_time_s` and `exit` (None while under way), `executed_action` (slot of the last decision as
    it was carried out; None before the first), `invalid_action`.

    Args:
        scenario: network, trips, traffic, horizon.
        observation: encodes observations; by default the paper's.
        reward: by default the paper's.
        smoothing_s: time constant of the moving average of edge speeds behind scores and live travel times.
        strict: whether a masked-out action is an error.
        backend: how SUMO runs; see `SumoSimulator`.
        isolate: whether SUMO runs in a child process, so that several envs work side by side in one process and a crash
            of SUMO harms nobody. None: only if, at reset, another env of this process has its SUMO in process.
        sumo_options: further options of SUMO's command line; see `SumoSimulator`. Files that they name are complete
            after `close`, and begun anew by each reset.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "sumo_routing_v0", "render_modes": [], "is_parallelizable": True}

    def __init__(
        self,
        scenario: Scenario,
        *,
        observation: Observation | None = None,
        reward: Reward | None = None,
        smoothing_s: float = 60.0,
        strict: bool = False,
        backend: Backend = "libsumo",
        isolate: bool | None = None,
        sumo_options: Sequence[str] = (),
    ) -> None:
        super().__init__(
            scenario,
            observation=observation,
            reward=reward,
            smoothing_s=smoothing_s,
            strict=strict,
            backend=backend,
            isolate=isolate,
            sumo_options=sumo_options,
        )
        self.render_mode = None
        mask_space = gymnasium.spaces.Box(0, 1, (self.network.max_outgoing,), np.int8)
        self._observation_space = gymnasium.spaces.Dict(
            {"observation": self._observation.space, "action_mask": mask_space}
        )
        self._action_spaces: dict[AgentID, gymnasium.spaces.Discrete] = {
            agent: gymnasium.spaces.Discrete(self.network.max_outgoing) for agent in self.possible_agents
        }

    def observation_space(self, agent: AgentID) -> gymnasium.spaces.Dict:
        return self._observation_space

    def action_space(self, agent: AgentID) -> gymnasium.spaces.Discrete:
        return self._action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[AgentID, dict[str, NDArray]], dict[AgentID, dict[str, Any]]]:
        """Begin an episode: background traffic and driver behaviour follow from `seed`."""
        self.begin(seed)
        seen = {agent: self._seen(agent) for agent in self.agents}
        return {agent: seen[agent][0] for agent in seen}, {agent: seen[agent][1] for agent in seen}

    def step(self, actions: Mapping[AgentID, int]) -> tuple[dict, dict, dict, dict, dict]:
        """Give deciders their edges and advance to the next decision.

        Raises:
            RoutingError: before reset, or for a masked-out or missing action in strict mode.
        """
        live = self.agents
        rewards = self.advance(actions).tolist()
        observations, infos, exits = {}, {}, {}
        for agent in live:
            observations[agent], infos[agent] = self._seen(agent)
            exits[agent] = infos[agent]["exit"]
        return (
            observations,
            {agent: rewards[self._index[agent]] for agent in live},
            {agent: exit == Exit.ARRIVED for agent, exit in exits.items()},
            {agent: exit is not None and exit != Exit.ARRIVED for agent, exit in exits.items()},
            infos,
        )

    def state(self) -> NDArray[np.float32]:
        """(4 n + E,) float32 for centralised critics: per agent its edge, destination, distance to go over the
        network's diagonal, and whether it is under way; then the score of every edge."""
        vehicles = self._steering.vehicles
        per_agent = [
            (v.edge, v.trip.destination, self._distance_m[k] / self.network.diagonal_m, v.exit is None)
            for k, v in enumerate(vehicles)
        ]
        return np.concatenate([np.ravel(per_agent), self._scores()]).astype(np.float32)
