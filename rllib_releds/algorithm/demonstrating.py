"""Demonstration cycles: when to ask for demonstrations, what came of them, and what of it survives a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from rllib_releds.algorithm.cycles import Cycle, FailedCycle, rollouts_in_use
from rllib_releds.algorithm.rollouts import CALLBACK, PARTITION, ExpertTask, Rollout, seed_sequence
from rllib_releds.demonstrations.background import Asked, BackgroundCallback
from rllib_releds.demonstrations.domain import Domain
from rllib_releds.demonstrations.episodes import partition
from rllib_releds.demonstrations.errors import DemonstrationError
from rllib_releds.demonstrations.feedback import cycle_feedback
from rllib_releds.demonstrations.gate import DemonstrationGate
from rllib_releds.demonstrations.protocol import DemonstrationCallback, DemonstrationContext, Demonstrations
from rllib_releds.demonstrations.roads import road_times
from sumo_marl_env import AgentID, NodeID, Scenario

_log = logging.getLogger(__name__)

Roll = Callable[[Sequence[ExpertTask]], list[Rollout]]
"""Carries out expert tasks on the env runners."""


class DemonstrationCycles:
    """Runs the cycles of one training run and remembers the last one.

    With `asynchronous` a cycle takes more than one epoch: it is asked for in one, beside training, and rolled out in
    the first later one in which the answer is there once the agent episodes are sampled. Until then training goes on
    with the previous cycle, or, before the first, on its own. A request that brings nothing costs no expert episodes
    then.

    Args:
        callback: makes the demonstrations; if it has a `store`, all of each cycle is written there.
        scenario: network, trips and name, for the callback.
        interval: epochs between two cycles (q); a cycle is due at epochs 0, q, 2 q ... If the one before is not yet
            answered then, it begins as soon as that is.
        num_subsets: subsets per cycle (m).
        gamma: discount, for the bound of Theorem 1.
        seed: of the run.
        asynchronous: ask beside training.
        gate: whether a worse revision leaves the best version of an agent in place; False replaces it always.
        first_refinements: further cycles right after the first that brought demonstrations, in which all agents follow
            theirs, so that those that are imitated first have been refined already. Up to the first that brings
            nothing; only for callbacks that refine, and not with `asynchronous`.

    Raises:
        DemonstrationError: if the callback can demonstrate nothing in this scenario.
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
        asynchronous: bool = False,
        gate: bool = True,
        first_refinements: int = 0,
    ) -> None:
        callback.check(scenario)
        self.callback = callback
        self.scenario = scenario
        self.interval = interval
        self.num_subsets = num_subsets
        self.gamma = gamma
        self.seed = seed
        self.asynchronous = asynchronous
        self.gate = DemonstrationGate(gate, callback.domain)
        self.first_refinements = first_refinements if callback.refine else 0
        self.num_cycles = 0
        self.failures: list[FailedCycle] = []
        self.last: Cycle | None = None
        self.first_paths: dict[AgentID, tuple[NodeID, ...]] = {}
        """Junctions that each agent passed by its first demonstration that worked."""
        self._background = BackgroundCallback(callback)
        self._due_epoch = 0
        self._to_ask: DemonstrationContext | None = None

    @property
    def domain(self) -> Domain:
        """Of the demonstrations."""
        return self.gate.domain

    @property
    def is_waiting(self) -> bool:
        """Whether a request runs beside training."""
        return self._background.asked is not None

    def run(self, epoch: int, agent_rollouts: Sequence[Rollout], roll: Roll) -> None:
        """What is to be done in this epoch: ask, roll out each subset, and compute the feedback.

        What a demonstration gets wrong does not stop training: the previous cycle's rollouts stay in use, with a
        warning. Every other error propagates, also from a thread.

        Args:
            epoch: the training epoch.
            agent_rollouts: of the same epoch.
            roll: carries out the expert episodes.
        """
        if self.asynchronous:
            answered = self._background.take()
            if answered is not None:
                self._finish(answered, epoch, agent_rollouts, roll)
            if self._background.is_idle:
                self._ask_beside_training(epoch)
        elif epoch % self.interval == 0:
            none_has_worked = self.num_cycles == len(self.failures)
            for number in range(1 + self.first_refinements if none_has_worked else 1):
                if not self._finish(self._ask(epoch), epoch, agent_rollouts, roll, refinement=number):
                    break

    @property
    def best(self) -> Demonstrations | None:
        """What is known to be best for each agent, or given last where versions are not compared; None before that."""
        if not self.gate.kept:
            return None if self.last is None else self.last.demonstrations
        missing = {agent: "no demonstration yet" for agent in self.scenario.agents if agent not in self.gate.kept}
        return replace(self.gate.demonstrations(), missing=missing)

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when no request runs beside training, or after this time."""
        self._background.wait(timeout_s)

    def get_state(self) -> dict[str, Any]:
        """All that a restarted run needs, picklable. A request without an answer will be asked again."""
        last = self.last
        asked = self._to_ask or self._background.asked
        return {
            "num_cycles": self.num_cycles,
            "failures": [asdict(failure) for failure in self.failures],
            "due_epoch": self._due_epoch,
            "callback": self._background.get_state(),
            "gate": self.gate.get_state(),
            "first_paths": self.first_paths,
            # The network is a matter of the configuration, and by far the largest part.
            "asked": None if asked is None else _without_network(asked),
            "last": None if last is None else {**vars(last), "context": _without_network(last.context)},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where `get_state` was taken."""
        self.num_cycles = state["num_cycles"]
        self.failures = [FailedCycle(**failure) for failure in state["failures"]]
        self._due_epoch = state["due_epoch"]
        self._background.set_state(state["callback"])
        self.gate.set_state(state["gate"])
        self.first_paths = state["first_paths"]
        # Not asked at once: who restores a run to evaluate it needs no demonstrations.
        self._to_ask = self._with_network(state["asked"])
        last = state["last"]
        if last is not None:
            last = Cycle(**{**last, "context": self._with_network(last["context"])})
        self.last = last

    def _context(self, epoch: int) -> DemonstrationContext:
        scenario = self.scenario
        seed = seed_sequence(self.seed, CALLBACK, epoch, self.num_cycles).generate_state(1)[0]
        feedback = None if self.last is None else self.last.feedback
        return DemonstrationContext.of(scenario, epoch=epoch, cycle=self.num_cycles, feedback=feedback, seed=int(seed))

    def _ask(self, epoch: int) -> Asked:
        asked = Asked(self._context(epoch))
        self._begin_files(asked.context)
        try:
            asked.demonstrations = self.callback(asked.context)
        except DemonstrationError as error:
            asked.error = error
        return asked

    def _ask_beside_training(self, epoch: int) -> None:
        """Begin a request if one was lost by a restart, or if a cycle is due."""
        context, self._to_ask = self._to_ask, None
        if context is None and epoch >= self._due_epoch:
            context = self._context(epoch)
            self._due_epoch = (epoch // self.interval + 1) * self.interval
        if context is not None:
            self._begin_files(context)
            self._background.ask(context)

    def _begin_files(self, context: DemonstrationContext) -> None:
        if self.callback.store is not None:
            self.callback.store.begin(context.cycle)

    def _finish(
        self, asked: Asked, epoch: int, agent_rollouts: Sequence[Rollout], roll: Roll, refinement: int = 0
    ) -> bool:
        """Use the answer to a request, whatever it is; returns whether something came of it.

        Also where nothing did, there may be last good demonstrations, or the fallback, to roll out for the feedback.
        """
        reason = self.callback.failure
        try:
            if asked.error is not None:
                raise asked.error
            if reason is None or not self.asynchronous:
                self.last = self._roll_out(asked, epoch, agent_rollouts, roll, refinement)
        except DemonstrationError as error:
            reason = str(error)
            goes_on = "the previous demonstrations" if self.last else "none"
            _log.warning("cycle %d (epoch %d): %s. Training goes on with %s.", self.num_cycles, epoch, reason, goes_on)
        if reason is not None:
            self.failures.append(FailedCycle(self.num_cycles, epoch, reason))
        self.num_cycles += 1
        return reason is None

    def _roll_out(
        self, asked: Asked, epoch: int, agent_rollouts: Sequence[Rollout], roll: Roll, refinement: int
    ) -> Cycle:
        assert asked.demonstrations is not None
        rng = np.random.default_rng(seed_sequence(self.seed, PARTITION, epoch))
        # In the refinements before the first imitation all follow theirs: the policies know nothing yet.
        subsets = partition(self.scenario.agents, 1 if refinement else self.num_subsets, rng)
        rollouts = roll(
            [
                ExpertTask(self.seed, epoch, number, tuple(agents), asked.demonstrations)
                for number, agents in enumerate(subsets, self.num_subsets + refinement if refinement else 0)
            ]
        )
        feedback = cycle_feedback(
            epoch=epoch,
            cycle=asked.context.cycle,
            agent_episodes=[rollout.episode for rollout in agent_rollouts],
            rollouts=[rollout.expert for rollout in rollouts if rollout.expert is not None],
            gamma=self.gamma,
            network=self.scenario.network,
            unanswered=asked.demonstrations.unanswered,
        )
        if refinement:
            # What roads took in the agents' own episodes has been counted in the cycle before.
            episodes = [rollout.episode for rollout in rollouts]
            feedback = replace(feedback, roads=road_times(episodes, self.scenario.network))
        feedback = self.gate.judge(asked.demonstrations, feedback)
        in_use = rollouts_in_use(self.last.in_use if self.last else (), rollouts, feedback)
        cycle = Cycle(asked.context, asked.demonstrations, tuple(rollouts), in_use, feedback)
        self.first_paths = {**feedback.demonstrated_paths, **self.first_paths}
        if self.callback.store is not None:
            self.callback.store.write_cycle(asked.context, asked.demonstrations, cycle.subset_rollouts, feedback)
        return cycle

    def _with_network(self, context: dict[str, Any] | None) -> DemonstrationContext | None:
        return None if context is None else DemonstrationContext(**context, network=self.scenario.network)


def _without_network(context: DemonstrationContext) -> dict[str, Any]:
    return {name: value for name, value in vars(context).items() if name != "network"}
