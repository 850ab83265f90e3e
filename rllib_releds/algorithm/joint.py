"""Records what the whole team sees and does, for central critics and mixing networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env import Episode, Exit, RoutingEnv

_HAS_LEFT = (Exit.ARRIVED, Exit.TELEPORTED, Exit.LOST)


@dataclass(frozen=True)
class JointSteps:
    """What all n agents saw and did in the T environment steps of an episode, for critics and mixers of the whole team.

    Row t of what is seen was there before step t, the last row at the end of the episode.

    Attributes:
        states: (T + 1, S) float32, `RoutingEnv.state()`.
        observations: (T + 1, n, obs_dim) float32.
        action_masks: (T + 1, n, m_out) int8; one entry for an agent that has nothing to decide.
        is_live: (T + 1, n) bool, whether an agent is under way; in the last row those that the end of the episode cut
            off, for what lies ahead of them is still to be valued.
        actions: (T, n) int64, the executed slots; the one entry of the mask where there was nothing to decide.
    """

    states: NDArray[np.float32]
    observations: NDArray[np.float32]
    action_masks: NDArray[np.int8]
    is_live: NDArray[np.bool_]
    actions: NDArray[np.int64]


class JointRecorder:
    """Looks at all agents before each environment step."""

    def __init__(self) -> None:
        self._states: list[NDArray[np.float32]] = []
        self._observations: list[list[NDArray[np.float32]]] = []
        self._action_masks: list[list[NDArray[np.int8]]] = []
        self._is_live: list[list[bool]] = []

    def look(self, env: RoutingEnv) -> None:
        """Before a step, or at the end of the episode."""
        seen = [env.observe(agent) for agent in env.possible_agents]
        live = set(env.agents)
        self._states.append(env.state())
        self._observations.append([one["observation"] for one in seen])
        self._action_masks.append([one["action_mask"] for one in seen])
        self._is_live.append([agent in live for agent in env.possible_agents])

    def joint_steps(self, env: RoutingEnv, episode: Episode) -> JointSteps:
        """The record, at the end of the episode."""
        self.look(env)
        # By now the env has let go of everybody, also of those that the end of the episode cut off.
        cut_off = np.array(self._is_live[-2]) & [trajectory.exit not in _HAS_LEFT for trajectory in episode]
        self._is_live[-1] = cut_off.tolist()
        self._states[-1][3 : 4 * len(cut_off) : 4] = cut_off
        action_masks = np.array(self._action_masks)
        actions = action_masks[:-1].argmax(axis=-1)
        for agent, trajectory in enumerate(episode):
            actions[trajectory.decision_steps, agent] = trajectory.actions
        return JointSteps(
            states=np.array(self._states),
            observations=np.array(self._observations),
            action_masks=action_masks,
            is_live=np.array(self._is_live),
            actions=actions,
        )
