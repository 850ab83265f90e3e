"""What came of one demonstration cycle, and which of its episodes are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rllib_releds.algorithm.rollouts import Rollout
from rllib_releds.demonstrations.feedback import CycleFeedback
from rllib_releds.demonstrations.protocol import DemonstrationContext, Demonstrations, SubsetRollout
from sumo_marl_env import AgentID


@dataclass(frozen=True)
class Cycle:
    """One demonstration cycle.

    Attributes:
        context: what the callback was asked with; `context.epoch` is when.
        demonstrations: what it answered.
        rollouts: one expert episode per subset.
        in_use: what is trained on, tau^e: these, and for agents whose revision was worse, the episode before it.
        feedback: what the next cycle is told about them; `feedback.epoch` is when they were rolled out.
    """

    context: DemonstrationContext
    demonstrations: Demonstrations
    rollouts: tuple[Rollout, ...]
    in_use: tuple[Rollout, ...]
    feedback: CycleFeedback

    @property
    def subset_rollouts(self) -> tuple[SubsetRollout, ...]:
        """The expert episodes without what only the learner needs."""
        return tuple(rollout.expert for rollout in self.rollouts if rollout.expert is not None)


@dataclass(frozen=True)
class FailedCycle:
    """A cycle that brought nothing.

    Attributes:
        cycle: its number.
        epoch: the epoch in which training learnt of it.
        reason: in one line, with the remedy.
    """

    cycle: int
    epoch: int
    reason: str


def rollouts_in_use(
    before: Sequence[Rollout], fresh: Sequence[Rollout], feedback: CycleFeedback
) -> tuple[Rollout, ...]:
    """The expert episodes to train on, each restricted to the agents that it demonstrates.

    Args:
        before: those of the previous cycle.
        fresh: those of this cycle, in which every agent is demonstrated once.
        feedback: says whose revision was worse than the version kept: that agent's episode of before stays.
    """
    known = {agent for rollout in before for agent in rollout.demonstrated}
    worse = {agent for agent, kept in feedback.kept.items() if not kept.is_latest} & known
    stay = [restricted(one, [agent for agent in one.demonstrated if agent in worse]) for one in before]
    new = [restricted(one, [agent for agent in one.demonstrated if agent not in worse]) for one in fresh]
    return tuple(rollout for rollout in (*stay, *new) if rollout.demonstrated)


def restricted(rollout: Rollout, agents: Sequence[AgentID]) -> Rollout:
    """The expert episode as a demonstration of these agents alone."""
    assert rollout.expert is not None
    return replace(rollout, expert=replace(rollout.expert, agents=tuple(agents)))
