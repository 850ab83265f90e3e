"""Which agents demonstrations can still teach: what agents earn, beside what their demonstrations earn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rllib_releds.algorithm.cycles import Cycle
from rllib_releds.algorithm.rollouts import Rollout
from sumo_marl_env import AgentID

MEMORY = 0.8
"""Decay per epoch of the moving mean of an agent's reward: about the last five epochs count."""

LEAD = 0.05
"""Share of its expected reward by which a demonstration that was driven once must surpass the agent, to teach it."""

REHEARSAL_WEIGHT = 0.5
"""From here the least weight of the expert's loss falls linearly to 0: in the epoch of the imitation, so that with 20
further ones the first that rehearses has 20/21 of it."""


@dataclass(frozen=True)
class Rehearsal:
    """What was imitated, and goes on being demonstrated for a while.

    Until an agent has seen for itself what lies beside its route, an update may well make it forget the way back.

    Attributes:
        first_epoch: in which it was imitated.
        last_epoch: up to which it is part of the update.
        rollouts: disturbed expert episodes.
    """

    first_epoch: int
    last_epoch: int
    rollouts: tuple[Rollout, ...]

    def weight(self, epoch: int) -> float:
        """The least weight of the expert's loss, over all demonstrated rows of the agent, which falls to 0.

        Who has just imitated is so near to the demonstrations that Eq. 30 would leave them out.
        """
        return REHEARSAL_WEIGHT * (self.last_epoch + 1 - epoch) / (self.last_epoch + 1 - self.first_epoch)

    @property
    def agents(self) -> set[AgentID]:
        """Those that imitated: their demonstration worked in at least one of the episodes."""
        return {trajectory.agent for rollout in self.rollouts for _, trajectory in rollout.training_rows()}


class Teaching:
    """Remembers what each agent earned of late, and who had a demonstration that worked."""

    def __init__(self) -> None:
        self._rewards: dict[AgentID, float] = {}
        self._demonstrated: set[AgentID] = set()

    def remember(self, agents: Sequence[AgentID], agent_rollouts: Sequence[Rollout]) -> None:
        """Take the agent episodes of an epoch into the moving means. Call it before the others, once per epoch."""
        for index, agent in enumerate(agents):
            reward = float(np.mean([rollout.episode.trajectories[index].total_reward for rollout in agent_rollouts]))
            self._rewards[agent] = MEMORY * self._rewards.get(agent, reward) + (1.0 - MEMORY) * reward

    def better_demonstrated(self, cycle: Cycle | None) -> set[AgentID]:
        """The agents whose demonstration in use works, and is better than they have been of late.

        The one in use was chosen for earning most of several, so after a trip or two it earned more than it is worth: a
        small lead is luck, and the less so the more trips it rests on. Agents that lose their way are far behind.
        """
        earned = demonstrated_rewards(cycle) if cycle else {}
        return {
            agent
            for agent, (reward, trips) in earned.items()
            if reward - LEAD * abs(reward) / math.sqrt(trips) > self._rewards[agent]
        }

    def take_beginners(self, cycle: Cycle) -> list[AgentID]:
        """The agents that have their first demonstration that works, if it is better than they are. Each counts once.

        What they earned before is forgotten: they are about to imitate, and will earn something else.
        """
        beginners = sorted(self.better_demonstrated(cycle) - self._demonstrated)
        self._demonstrated |= demonstrated_rewards(cycle).keys()
        for agent in beginners:
            del self._rewards[agent]
        return beginners

    def get_state(self) -> dict[str, Any]:
        return {"rewards": dict(self._rewards), "demonstrated": sorted(self._demonstrated)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._rewards = dict(state["rewards"])
        self._demonstrated = set(state["demonstrated"])


def demonstrated_rewards(cycle: Cycle) -> dict[AgentID, tuple[float, int]]:
    """What the demonstrations in use are worth, of those that worked, and on how many trips: what the gate counts.

    Where the gate has gone back to an older version this is that one's worth, not that of the episode still in use.
    """
    kept = cycle.feedback.kept
    return {
        trajectory.agent: (kept[trajectory.agent].reward, kept[trajectory.agent].trips)
        if trajectory.agent in kept
        else (trajectory.total_reward, 1)
        for rollout in cycle.in_use
        for _, trajectory in rollout.training_rows()
    }
