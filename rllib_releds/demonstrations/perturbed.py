"""Demonstrations with disturbances: what the expert does off its own path, for imitation to learn from.

Whoever imitates a flawless drive knows nothing about the roads beside it, and is lost after its first mistake. So some
decisions are disturbed while the expert drives, and what it meant to do is noted (as in DART, Laskey et al. 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rllib_releds.demonstrations.protocol import DemonstrationTrace, Demonstrator
from sumo_marl_env import AgentID, AgentTrajectory


class PerturbedDemonstrator:
    """Drives like another demonstrator, except that a share of the decisions is drawn among the valid slots.

    Args:
        demonstrator: whose decisions are noted; it finds its way back from wherever the vehicle is.
        action_mask: (m_out,) valid slots of an agent now.
        noise: share of drawn decisions, in [0, 1].
        rng: source of the draws.
    """

    def __init__(
        self,
        demonstrator: Demonstrator,
        action_mask: Callable[[AgentID], NDArray[np.int8]],
        noise: float,
        rng: np.random.Generator,
    ) -> None:
        self._demonstrator = demonstrator
        self._action_mask = action_mask
        self._noise = noise
        self._rng = rng
        self._meant: dict[AgentID, list[int]] = {}

    def start(self, navigators: Mapping[AgentID, Any]) -> None:
        self._meant = {agent: [] for agent in navigators}
        self._demonstrator.start(navigators)

    def act(self, agent: AgentID) -> int:
        slot = self._demonstrator.act(agent)
        self._meant[agent].append(slot)
        if self._rng.random() < self._noise:
            return int(self._rng.choice(np.flatnonzero(self._action_mask(agent))))
        return slot

    def finish(self) -> dict[AgentID, DemonstrationTrace]:
        return self._demonstrator.finish()

    def as_meant(self, trajectory: AgentTrajectory) -> AgentTrajectory:
        """The trajectory with the expert's decisions in place of those that were carried out; rewards stay."""
        return replace(trajectory, actions=np.array(self._meant[trajectory.agent], np.int64))
