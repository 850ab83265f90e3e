"""Demonstration cycles: when to ask for demonstrations, what came of them, and what of it survives a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rllib_releds.algorithm.rollouts import CALLBACK, PARTITION, ExpertTask, Rollout, seed_sequence
from rllib_releds.demonstrations.cycle import partition
from rllib_releds.demonstrations.errors import DemonstrationError
from rllib_releds.demonstrations.feedback import CycleFeedback, cycle_feedback
from rllib_releds.demonstrations.protocol import (
    DemonstrationCallback,
    DemonstrationContext,
    Demonstrations,
    SubsetRollout,
)
from sumo_marl_env import Scenario

_log = logging.getLogger(__name__)

Roll = Callable[[Sequence[ExpertTask]], list[Rollout]]
"""Carries out expert tasks on the env runners."""


@dataclass(frozen=True)
class Cycle:
    """One demonstration cycle.

    Attributes:
        context: what the callback was asked with.
        demonstrations: what it answered.
        rollouts: one expert episode per subset, tau^e.
        feedback: what the next cycle is told about them.
    """

    context: DemonstrationContext
    demonstrations: Demonstrations
    rollouts: tuple[Rollout, ...]
    feedback: CycleFeedback

    @property
    def subset_rollouts(self) -> tuple[SubsetRollout, ...]:
        """The expert episodes without what only the learner needs."""
        return tuple(rollout.expert for rollout in self.rollouts if rollout.expert is not None)

    @property
    def metrics(self) -> dict[str, float]:
        """Figures about how the demonstrations were made, as their maker reports them."""
        figures: Mapping[str, float] = getattr(self.demonstrations, "metrics", {})
        return dict(figures)


class DemonstrationCycles:
    """Runs the cycles of one training run and remembers the last one.

    Args:
        callback: makes the demonstrations.
        scenario: network, trips and name, for the callback.
        interval: epochs between two cycles (q); a cycle runs at epochs 0, q, 2 q ...
        num_subsets: subsets per cycle (m).
        gamma: discount, for the bound of Theorem 1.
        seed: of the run.
    """

    def __init__(
        self,
        callback: DemonstrationCallback,
        scenario: Scenario,
        *,
        interval: int,
        num_subsets: int,
        gamma: float,
        seed: int,
    ) -> None:
        self.callback = callback
        self.scenario = scenario
        self.interval = interval
        self.num_subsets = num_subsets
        self.gamma = gamma
        self.seed = seed
        self.num_cycles = 0
        self.num_failed = 0
        self.last: Cycle | None = None

    def is_due(self, epoch: int) -> bool:
        """Whether this epoch begins with a demonstration cycle."""
        return epoch % self.interval == 0

    def run(self, epoch: int, agent_rollouts: Sequence[Rollout], roll: Roll) -> None:
        """One cycle: ask, roll out each subset, and compute the feedback.

        What a demonstration gets wrong does not stop training: the previous cycle's rollouts stay in use, with a
        warning. Every other error propagates.

        Args:
            epoch: the training epoch.
            agent_rollouts: of the same epoch.
            roll: carries out the expert episodes.
        """
        context = self._context(epoch)
        try:
            self.last = self._cycle(context, agent_rollouts, roll)
        except DemonstrationError as error:
            self.num_failed += 1
            _log.warning(
                "demonstration cycle %d (epoch %d) failed, training goes on with %s: %s",
                self.num_cycles,
                epoch,
                "the previous demonstrations" if self.last else "none",
                error,
            )
        self.num_cycles += 1

    def get_state(self) -> dict[str, Any]:
        """All that a restarted run needs, picklable."""
        last = self.last
        return {
            "num_cycles": self.num_cycles,
            "num_failed": self.num_failed,
            "callback": self.callback.get_state(),
            # The network is a matter of the configuration, and by far the largest part.
            "last": None if last is None else {**vars(last), "context": _without_network(last.context)},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where `get_state` was taken."""
        self.num_cycles = state["num_cycles"]
        self.num_failed = state["num_failed"]
        self.callback.set_state(state["callback"])
        last = state["last"]
        if last is not None:
            context = DemonstrationContext(**last["context"], network=self.scenario.network)
            last = Cycle(**{**last, "context": context})
        self.last = last

    def _context(self, epoch: int) -> DemonstrationContext:
        scenario = self.scenario
        seed = seed_sequence(self.seed, CALLBACK, epoch).generate_state(1)[0]
        return DemonstrationContext(
            epoch=epoch,
            cycle=self.num_cycles,
            network=scenario.network,
            trips=scenario.trips,
            scenario=f"{scenario.name}: {len(scenario.trips)} agents, at most {scenario.horizon_s:g} s",
            feedback=None if self.last is None else self.last.feedback,
            seed=int(seed),
        )

    def _cycle(self, context: DemonstrationContext, agent_rollouts: Sequence[Rollout], roll: Roll) -> Cycle:
        demonstrations = self.callback(context)
        rng = np.random.default_rng(seed_sequence(self.seed, PARTITION, context.epoch))
        subsets = partition(self.scenario.agents, self.num_subsets, rng)
        rollouts = roll(
            [
                ExpertTask(self.seed, context.epoch, index, tuple(agents), demonstrations)
                for index, agents in enumerate(subsets)
            ]
        )
        feedback = cycle_feedback(
            epoch=context.epoch,
            cycle=context.cycle,
            agent_episodes=[rollout.episode for rollout in agent_rollouts],
            rollouts=[rollout.expert for rollout in rollouts if rollout.expert is not None],
            gamma=self.gamma,
        )
        return Cycle(context, demonstrations, tuple(rollouts), feedback)


def _without_network(context: DemonstrationContext) -> dict[str, Any]:
    return {name: value for name, value in vars(context).items() if name != "network"}
