"""Which agents demonstrations can still teach: what agents earn, beside what their demonstrations earn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rllib_releds.algorithm.demonstrating import Cycle
from rllib_releds.algorithm.rollouts import Rollout
from sumo_marl_env import AgentID

MEMORY = 0.8
"""Of the mean of what an agent earns: about the last five epochs count."""

LAST_LEAD = 2.0
"""Standard errors by which a demonstration must be better than the agent in the last epoch."""


@dataclass(frozen=True)
class Earned:
    """What an agent earned per episode of late.

    Attributes:
        mean: moving mean of the reward.
        variance: moving mean of the squared distance from it.
    """

    mean: float
    variance: float

    @classmethod
    def of(cls, rewards: NDArray[np.float64], before: Earned | None) -> Earned:
        """After the episodes of one more epoch; `rewards` is (k,), k >= 1."""
        mean = _moving_mean(before.mean if before else None, rewards.mean())
        return cls(mean, _moving_mean(before.variance if before else None, np.square(rewards - mean).mean()))


class Teaching:
    """Remembers what each agent earned of late, and who had a demonstration that worked."""

    def __init__(self) -> None:
        self._earned: dict[AgentID, Earned] = {}
        self._demonstrated: set[AgentID] = set()

    def remember(self, agents: Sequence[AgentID], agent_rollouts: Sequence[Rollout]) -> None:
        """Take the agent episodes of an epoch into the moving means. Call it before the others, once per epoch."""
        for index, agent in enumerate(agents):
            rewards = [rollout.episode.trajectories[index].total_reward for rollout in agent_rollouts]
            self._earned[agent] = Earned.of(np.array(rewards), self._earned.get(agent))

    def better_demonstrated(self, cycle: Cycle | None, progress: float) -> set[AgentID]:
        """The agents whose demonstration in use works, and is better than they have been of late.

        The one in use was chosen for earning most of several after a trip or two, so it earned more than it is worth.
        Early on that matters little, as agents are unsteady; later its lead must be more than chance.

        Args:
            cycle: the last one.
            progress: k / K; the lead asked for grows with it from nothing to `LAST_LEAD` standard errors.
        """
        demonstrated = demonstrated_rewards(cycle) if cycle else {}
        better = set()
        for agent, (reward, trips) in demonstrated.items():
            earned = self._earned[agent]
            standard_error = math.sqrt(earned.variance / trips)
            if reward > earned.mean + progress * LAST_LEAD * standard_error:
                better.add(agent)
        return better

    def take_beginners(self, cycle: Cycle | None, progress: float) -> list[AgentID]:
        """The agents that have their first demonstration that works, if it is better than they are. Each counts once.

        What they earned before is forgotten: they are about to imitate, and will earn something else.
        """
        beginners = sorted(self.better_demonstrated(cycle, progress) - self._demonstrated)
        self._demonstrated |= demonstrated_rewards(cycle).keys() if cycle else set()
        for agent in beginners:
            del self._earned[agent]
        return beginners

    def get_state(self) -> dict[str, Any]:
        earned = {agent: (earned.mean, earned.variance) for agent, earned in self._earned.items()}
        return {"earned": earned, "demonstrated": sorted(self._demonstrated)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._earned = {agent: Earned(*earned) for agent, earned in state.get("earned", {}).items()}
        self._demonstrated = set(state["demonstrated"])


def demonstrated_rewards(cycle: Cycle) -> dict[AgentID, tuple[float, int]]:
    """What the demonstrations in use earned, of those that worked, and in how many trips.

    All their trips if the gate counts them, else the one that is trained on.
    """
    kept = cycle.feedback.kept
    return {
        trajectory.agent: (kept[trajectory.agent].reward, kept[trajectory.agent].trips)
        if trajectory.agent in kept
        else (trajectory.total_reward, 1)
        for rollout in cycle.in_use
        for _, trajectory in rollout.training_rows()
    }


def _moving_mean(before: float | None, latest: np.floating) -> float:
    return float(latest if before is None else MEMORY * before + (1.0 - MEMORY) * latest)
