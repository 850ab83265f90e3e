"""Demonstration cycles without training: ask, carry out in SUMO, compare, feed back. Neither ray nor torch is needed.

There are no learnt policies here. In their place agents follow their best demonstrations so far (as policies do that
imitate them), before there are any the live shortest time; or whatever `policy` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rllib_releds.demonstrations.demonstrators import live_demonstrations
from rllib_releds.demonstrations.episodes import demonstrated_episode, partition, play_episode
from rllib_releds.demonstrations.feedback import CycleFeedback, cycle_feedback
from rllib_releds.demonstrations.gate import DemonstrationGate
from rllib_releds.demonstrations.protocol import (
    DemonstrationCallback,
    DemonstrationContext,
    Demonstrations,
    SubsetRollout,
)
from sumo_marl_env import AgentID, AgentTrajectory, Episode, RoutingEnv

_AGENTS, _EXPERT, _PARTITION, _CALLBACK = range(4)
_UNKNOWN = -1


@dataclass(frozen=True)
class RefinementCycle:
    """One cycle.

    Attributes:
        context: what the callback was asked with.
        demonstrations: what it answered.
        agent_episodes: what the policies did.
        rollouts: one expert episode per subset.
        feedback: what came of the demonstrations, with the kept versions.
    """

    context: DemonstrationContext
    demonstrations: Demonstrations
    agent_episodes: tuple[Episode, ...]
    rollouts: tuple[SubsetRollout, ...]
    feedback: CycleFeedback

    @property
    def metrics(self) -> dict[str, float]:
        """Figures of the feedback, and about how the demonstrations were made."""
        return {**self.feedback.metrics(), **self.demonstrations.metrics}


class Refinement:
    """Runs cycles one after the other.

    Args:
        env: the environment; it is reset, and left open.
        callback: makes the demonstrations; if it has a `store`, all of each cycle is written there.
        policy: what drives agents outside the subset, and everybody in agent episodes; None for the best
            demonstrations so far.
        num_subsets: subsets per cycle (m).
        num_agent_episodes: agent episodes per cycle.
        gate: whether a worse revision leaves the best version of an agent in place; False replaces it always.
        gamma: discount, for the bound of Theorem 1.
        seed: of the traffic, the partitions and the callback.

    Raises:
        ValueError: if there are no subsets or no agent episodes.
    """

    def __init__(
        self,
        env: RoutingEnv,
        callback: DemonstrationCallback,
        *,
        policy: Demonstrations | None = None,
        num_subsets: int = 2,
        num_agent_episodes: int = 1,
        gate: bool = True,
        gamma: float = 0.99,
        seed: int = 0,
    ) -> None:
        for name, number in (("num_agent_episodes", num_agent_episodes), ("num_subsets", num_subsets)):
            if number < 1:
                raise ValueError(f"{name} must be 1 or more, got {number}")
        self.env = env
        self.callback = callback
        self.policy = policy
        self.num_subsets = num_subsets
        self.num_agent_episodes = num_agent_episodes
        self.gate = DemonstrationGate(gate, callback.domain)
        self.gamma = gamma
        self.seed = seed
        self.num_cycles = 0
        self._feedback: CycleFeedback | None = None

    @property
    def best(self) -> Demonstrations:
        """The best demonstrations so far; the live shortest time for agents that have none."""
        kept = self.gate.demonstrations()
        return replace(kept, contents={**live_demonstrations(self.env.scenario.trips).contents, **kept.contents})

    def cycle(self) -> RefinementCycle:
        """The next cycle.

        Raises:
            DemonstrationError: as the callback.
        """
        env, number = self.env, self.num_cycles
        context = DemonstrationContext.of(
            env.scenario, epoch=number, cycle=number, feedback=self._feedback, seed=self._seed(_CALLBACK)
        )
        if self.callback.store is not None:
            self.callback.store.begin(number)
        demonstrations = self.callback(context)
        policy = self.policy or self.best
        agent_episodes = tuple(
            demonstrated_episode(env, self._seed(_AGENTS, row), policy) for row in range(self.num_agent_episodes)
        )
        rng = np.random.default_rng([self.seed, _PARTITION, number])
        subsets = partition(env.possible_agents, self.num_subsets, rng)
        rollouts = tuple(
            self._expert_rollout(row, subset, demonstrations, policy, agent_episodes)
            for row, subset in enumerate(subsets)
        )
        if self.policy is None:
            self._credit(agent_episodes, rollouts)
        feedback = cycle_feedback(
            epoch=number,
            cycle=number,
            agent_episodes=agent_episodes,
            rollouts=rollouts,
            gamma=self.gamma,
            network=env.network,
            unanswered=demonstrations.unanswered,
        )
        self._feedback = self.gate.judge(demonstrations, feedback)
        if self.callback.store is not None:
            self.callback.store.write_cycle(context, demonstrations, rollouts, self._feedback)
        self.num_cycles += 1
        return RefinementCycle(context, demonstrations, agent_episodes, rollouts, self._feedback)

    def get_state(self) -> dict[str, Any]:
        """All that a restart needs, picklable."""
        return {
            "num_cycles": self.num_cycles,
            "feedback": self._feedback,
            "gate": self.gate.get_state(),
            "callback": self.callback.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where `get_state` was taken."""
        self.num_cycles = state["num_cycles"]
        self._feedback = state["feedback"]
        self.gate.set_state(state["gate"])
        self.callback.set_state(state["callback"])

    def _expert_rollout(
        self,
        row: int,
        subset: Sequence[AgentID],
        demonstrations: Demonstrations,
        policy: Demonstrations,
        agent_episodes: Sequence[Episode],
    ) -> SubsetRollout:
        others = [agent for agent in self.env.possible_agents if agent not in subset]
        expert, rest = demonstrations.demonstrator(subset), policy.demonstrator(others)
        drivers = {**dict.fromkeys(subset, expert), **dict.fromkeys(others, rest)}
        episode = play_episode(self.env, self._seed(_EXPERT, row), drivers)
        rest.finish()
        return SubsetRollout(
            agents=tuple(subset),
            episode=episode,
            traces=expert.finish(),
            logps={
                agent: habit_log_probabilities(episode[agent], [one[agent] for one in agent_episodes])
                for agent in subset
            },
        )

    def _credit(self, agent_episodes: Sequence[Episode], rollouts: Sequence[SubsetRollout]) -> None:
        for episode in agent_episodes:
            self.gate.credit(episode, self.env.possible_agents)
        for rollout in rollouts:
            self.gate.credit(rollout.episode, [a for a in self.env.possible_agents if a not in rollout.agents])

    def _seed(self, purpose: int, row: int = 0) -> int:
        return int(np.random.SeedSequence([self.seed, purpose, self.num_cycles, row]).generate_state(1)[0] >> 1)


def refine(env: RoutingEnv, callback: DemonstrationCallback, cycles: int, **options: Any) -> Iterator[RefinementCycle]:
    """Several cycles in a row; `options` as of `Refinement`."""
    refinement = Refinement(env, callback, **options)
    for _ in range(cycles):
        yield refinement.cycle()


def habit_log_probabilities(demonstrated: AgentTrajectory, own: Sequence[AgentTrajectory]) -> NDArray[np.float32]:
    """How likely an agent's habits make its demonstrated actions, in the place of a learnt policy's probabilities.

    The habit at a junction is what the agent did there in its own trips, each valid action counted once more. At a
    junction that no record names, all valid actions are as likely.

    Args:
        demonstrated: n decisions.
        own: the agent's trips without demonstrations.

    Returns:
        (n,) float32 log-probabilities, all finite.
    """
    counts: dict[tuple[int, int], int] = {}
    for trip in own:
        for junction, action in zip(_junctions(trip), trip.actions.tolist(), strict=True):
            if junction != _UNKNOWN:
                counts[junction, action] = counts.get((junction, action), 0) + 1
    shares = []
    for junction, action, mask in zip(
        _junctions(demonstrated), demonstrated.actions.tolist(), demonstrated.action_masks, strict=True
    ):
        seen = [counts.get((junction, slot), 0) + 1 for slot in np.flatnonzero(mask).tolist()]
        shares.append((counts.get((junction, action), 0) + 1) / max(sum(seen), 1))
    return np.log(np.array(shares, np.float32)).reshape(len(shares))


def _junctions(trip: AgentTrajectory) -> list[int]:
    """The junction ahead at each decision; `_UNKNOWN` for the last one of a vehicle that was taken out before it."""
    rows = (trip.decision_edges + 1).tolist()
    return [int(trip.junctions[row]) if row < len(trip.junctions) else _UNKNOWN for row in rows]
