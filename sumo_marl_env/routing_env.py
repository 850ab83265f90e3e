"""`RoutingEnv`: vehicles that choose their next road at every junction, as a PettingZoo `ParallelEnv`."""

from __future__ import annotations

import copy
import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar, get_args

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from sumo_marl_env.config import EnvConfig, EnvOptions, RenderMode
from sumo_marl_env.routing_core import RoutingCore
from sumo_marl_env.scenarios.scenario import Scenario, build_scenario
from sumo_marl_env.types import AgentID, Exit


class RoutingEnv(RoutingCore, ParallelEnv):
    """Traffic routing in SUMO.

    | fact              | value                                                                                    |
    |-------------------|------------------------------------------------------------------------------------------|
    | agents            | n vehicles, `vehicle_0` ... ; fixed before reset; each leaves when it arrives            |
    | decision          | an agent decides when its vehicle enters an edge: which edge to take at that edge's end  |
    | step              | advances SUMO until at least one live agent has a decision to make, or the horizon       |
    | action space      | Discrete(m_out): the k-th outgoing edge of the approached junction                       |
    | observation space | Dict(observation: Box float32, by default (2 m_out + 2,) (Table I of the paper),         |
    |                   | action_mask: Box (m_out,) int8)                                                          |
    | action mask       | edges that the current edge's lanes lead to; one entry for agents with nothing to decide |
    | reward            | by default Eq. 32: seconds lost (negative), metres approached, 0.1 T_max on arrival      |
    | ends              | arrival: terminated; anything else: truncated, with the reason (`Exit`) in info["exit"]  |
    | failures          | SUMO dies: every live agent is truncated, "simulator_failed"; reset starts it again      |
    | state             | Box (4 n + E,) float32, for centralised critics; the road graph: `network.graph()`       |
    | version           | 0                                                                                        |

    A masked-out action is replaced by the nearest valid slot and flagged in `info["invalid_action"]`, or, with
    `strict=True`, answered with an error. Actions of agents with nothing to decide are ignored and may be left out.

    `info` of each agent: `is_decider`, `action_mask` (the same array), `edge` (SUMO id), `junction` (index of the
    approached junction), `departed_s` (when SUMO inserted the vehicle; None before), `elapsed_s` (since the trip's
    departure time), `travel_time_s` and `exit` (None while under way), `executed_action` (slot of the last decision as
    it was carried out; None before the first), `invalid_action` (whether it had to be replaced).

    A copy and a pickle of an environment, running or not, is an environment with the same scenario and options that
    waits for its first reset: a simulation cannot be copied.

    Args:
        scenario: network, trips, traffic, horizon.
        options: what agents see and earn, and how SUMO runs.
        changes: fields of `EnvOptions` that differ from `options`.

    Raises:
        ConfigError: if an option has no such value.
        SimulatorError: if one of the `sumo_options` is refused.
        TypeError: if `changes` has something else than fields of `EnvOptions`.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "sumo_routing_v0",
        "render_modes": list(get_args(RenderMode)),
        "render_fps": 4,
        "is_parallelizable": True,
    }

    def __init__(self, scenario: Scenario, options: EnvOptions | None = None, **changes: Any) -> None:
        # Of an `EnvConfig` these fields alone: the scenario is there already.
        given = {} if options is None else {field.name: getattr(options, field.name) for field in fields(EnvOptions)}
        super().__init__(scenario, EnvOptions(**{**given, **changes}))
        self.render_mode = self.options.render_mode
        mask_space = gymnasium.spaces.Box(0, 1, (self.network.max_outgoing,), np.int8)
        self._observation_space = gymnasium.spaces.Dict(
            {"observation": self._observation.space, "action_mask": mask_space}
        )
        self.state_space = self._state_space()
        self._masks = np.zeros((len(self.possible_agents), self.network.max_outgoing), np.int8)
        self._action_spaces: dict[AgentID, gymnasium.spaces.Discrete] = {
            agent: gymnasium.spaces.Discrete(self.network.max_outgoing) for agent in self.possible_agents
        }

    @classmethod
    def from_config(cls, config: EnvConfig) -> RoutingEnv:
        """`parallel_env` of a configuration."""
        return cls(build_scenario(config), config)

    def observation_space(self, agent: AgentID) -> gymnasium.spaces.Dict:
        return self._observation_space

    def action_space(self, agent: AgentID) -> gymnasium.spaces.Discrete:
        return self._action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[AgentID, dict[str, NDArray]], dict[AgentID, dict[str, Any]]]:
        """Begin an episode.

        Args:
            seed: background traffic and driver behaviour follow from it. None continues the sequence that the last
                given seed began; where none was given, no run is like another.
            options: ignored.

        Returns:
            Observations and infos of all agents.

        Raises:
            RoutingError: if `seed` is not a whole number of 0 or more.
            SimulatorError: if SUMO does not start or cannot load the scenario.
            ConfigError: if the observation is not what its space says: another shape, no numbers, or not finite.
        """
        self.begin(seed)
        with self._whole_step():
            return self._seen(self.agents)

    def step(self, actions: Mapping[AgentID, int]) -> tuple[dict, dict, dict, dict, dict]:
        """Give deciders their edges and advance to the next decision.

        Args:
            actions: a slot for each of `deciders`; those of other agents are ignored.

        Returns:
            Observations, rewards, terminations, truncations and infos of the agents that were live before the step.

        Raises:
            RoutingError: before reset and after the episode's end, for an unknown agent or what is no dict or whole
                number, and in strict mode for a masked-out or missing action.
            ConfigError: if the reward or observation returns another shape than it must, no numbers, or not finite
                ones. The episode is then over, as after any other error in them.
        """
        live = self.agents
        rewards = self.advance(actions).tolist()
        with self._whole_step():
            observations, infos = self._seen(live)
        terminated, truncated = dict.fromkeys(live, False), dict.fromkeys(live, False)
        for agent in set(live).difference(self.agents):
            terminated[agent] = infos[agent]["exit"] == Exit.ARRIVED
            truncated[agent] = not terminated[agent]
        rewards_by_agent = {agent: rewards[self._index[agent]] for agent in live}
        return observations, rewards_by_agent, terminated, truncated, infos

    def state(self) -> NDArray[np.float32]:
        """(4 n + E,) float32 for centralised critics, in `state_space`.

        | index       | meaning                                                                                |
        |-------------|----------------------------------------------------------------------------------------|
        | 4 k         | edge on which vehicle k is, or was last                                                |
        | 4 k + 1     | its destination junction                                                               |
        | 4 k + 2     | straight-line distance to go from the junction it passed last, over the map's diagonal |
        | 4 k + 3     | 1 while it waits or drives, 0 when it has left                                         |
        | 4 n + e     | score of edge e: free-flow time over current estimated time, in [0, 1]                 |

        Raises:
            RoutingError: before reset.
        """
        self._check_begun()
        vehicles = self._steering.vehicles
        per_agent = [
            (v.edge, v.trip.destination, self._progress.distance_m[k] / self.network.diagonal_m, v.exit is None)
            for k, v in enumerate(vehicles)
        ]
        return np.concatenate([np.ravel(per_agent), self._scores()]).astype(np.float32)

    def render(self) -> NDArray[np.uint8] | None:
        """A (H, W, 3) picture by `render_mode="rgb_array"`; "human" shows it, and there is none without a mode.

        Raises:
            RoutingError: before reset.
        """
        if self.render_mode is None:
            warnings.warn("nothing is drawn: make the environment with a render_mode", stacklevel=2)
            return None
        self._check_begun()
        # Drawing needs more than the rest of the environment.
        drawing = importlib.import_module("sumo_marl_env.pictures.render")
        frame: NDArray[np.uint8] = drawing.draw(self)
        if self.render_mode == "rgb_array":
            return frame
        drawing.show(frame)
        return None

    def _seen(
        self, agents: Sequence[AgentID]
    ) -> tuple[dict[AgentID, dict[str, NDArray]], dict[AgentID, dict[str, Any]]]:
        """Observations and infos of the agents, among which are all deciders."""
        vehicles, elapsed_s = self._steering.vehicles, self._progress.elapsed_s(self._steering.time_s)
        indices = [self._index[agent] for agent in agents]
        encoded, kept = self._observation_cache.of_all(indices, vehicles), self._infos
        for index in indices:
            if index not in kept:
                kept[index] = self._new_info(index, vehicles[index])
                self._masks[index] = kept[index]["action_mask"]
        masks = list(self._masks.copy())
        # With many agents these two are most of what a step costs outside SUMO.
        infos = {
            agent: {**kept[i], "elapsed_s": elapsed_s[i], "action_mask": masks[i]}
            for agent, i in zip(agents, indices, strict=True)
        }
        observations: dict[AgentID, dict[str, NDArray]] = {
            agent: {"observation": encoded[i], "action_mask": masks[i]}
            for agent, i in zip(agents, indices, strict=True)
        }
        for agent in self.deciders:
            # Whoever keeps what deciders saw should not keep what all saw, which is one block of memory.
            observations[agent] = {name: array.copy() for name, array in observations[agent].items()}
            infos[agent]["action_mask"] = observations[agent]["action_mask"]
        return observations, infos

    def __copy__(self) -> RoutingEnv:
        # An observation or reward of the user's own serves no second env.
        return copy.deepcopy(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.scenario, self.options)

    def _state_space(self) -> gymnasium.spaces.Box:
        agents, edges = len(self.possible_agents), self.network.num_edges
        of_an_agent = [edges - 1, self.network.num_junctions - 1, 1.0, 1.0]
        high = np.concatenate([np.tile(of_an_agent, agents), np.ones(edges)]).astype(np.float32)
        return gymnasium.spaces.Box(np.zeros_like(high), high, dtype=np.float32)
