"""What came of one cycle of demonstrations: everything that the next feedback prompt is written from, worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rllib_releds import keys
from rllib_releds.demonstrations.protocol import DemonstrationTrace, SubsetRollout
from rllib_releds.demonstrations.roads import RoadTime, road_times
from rllib_releds.demonstrations.stationarity import (
    DivergencePair,
    SubsetFeedback,
    VolatilityPair,
    subset_feedback,
)
from sumo_marl_env import AgentID, AgentTrajectory, Episode, Instruction, NodeID, RoadNetwork


@dataclass(frozen=True)
class AgentOutcome:
    """What one agent's demonstration came to, beside what its policy did in the same epoch.

    Attributes:
        agent: the agent.
        arrived: whether the demonstrated vehicle reached its destination.
        exit: why its episode ended.
        travel_time_s: of the demonstrated trip.
        reward: its undiscounted return.
        path: junctions passed.
        instructions: in the order in which they were begun.
        error: why the demonstration failed, and the fallback drove from some point on; None if it did not.
        policy_reward: mean undiscounted return of the agent in the agent episodes.
        policy_best_time_s: its shortest travel time among the agent episodes in which it arrived; None if it never did.
        policy_best_path: the junctions of that trip; empty if there was none.
        unanswered: why the last answer had nothing usable for the agent, which followed an earlier one; None if it had.
    """

    agent: AgentID
    arrived: bool
    exit: str
    travel_time_s: float
    reward: float
    path: tuple[NodeID, ...]
    instructions: tuple[Instruction, ...]
    error: str | None
    policy_reward: float
    policy_best_time_s: float | None
    policy_best_path: tuple[NodeID, ...]
    unanswered: str | None = None

    @property
    def executed(self) -> bool:
        """Whether the program of this cycle itself brought the vehicle to its destination."""
        return self.arrived and self.error is None and self.unanswered is None


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """The best demonstration of one agent so far.

    Attributes:
        cycle: in which it was first given.
        is_latest: whether it is the one of the cycle that the feedback is about.
        trips: how often it was driven.
        reward: undiscounted return that may be expected of it, from these trips and from what its roads took.
        travel_time_s: moving mean of these trips.
        path: junctions of the last trip that arrived.
        instructions: carried out when it was last demonstrated.
    """

    cycle: int
    is_latest: bool
    trips: int
    reward: float
    travel_time_s: float
    path: tuple[NodeID, ...]
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True)
class CycleFeedback:
    """Everything that the next feedback prompt is written from.

    Attributes:
        epoch: in which it was rolled out.
        cycle: the cycle.
        outcomes: one per demonstrated agent, lowest reward first.
        subsets: one per subset, largest `nonstationarity_bound` first.
        roads: how long the agents' vehicles took on each road that they drove.
        kept: for agents whose versions are compared, the best one so far.
    """

    epoch: int
    cycle: int
    outcomes: tuple[AgentOutcome, ...]
    subsets: tuple[SubsetFeedback, ...]
    roads: tuple[RoadTime, ...] = ()
    kept: Mapping[AgentID, KeptVersion] = field(default_factory=dict)

    @property
    def execution_rate(self) -> float:
        """Exec. % of Table III as a share: programs that ran and whose vehicle reached its destination by them."""
        return _mean([outcome.executed for outcome in self.outcomes])

    @property
    def mean_reward(self) -> float:
        """Mean undiscounted return of the demonstrated trips."""
        return _mean([outcome.reward for outcome in self.outcomes])

    @property
    def volatility(self) -> tuple[VolatilityPair, ...]:
        """The pairs of all subsets, worst first."""
        pairs = (pair for subset in self.subsets for pair in subset.volatility)
        return tuple(sorted(pairs, key=lambda pair: -pair.reward))

    @property
    def divergence(self) -> tuple[DivergencePair, ...]:
        """The pairs of all subsets, worst first."""
        pairs = (pair for subset in self.subsets for pair in subset.divergence)
        return tuple(sorted(pairs, key=lambda pair: -pair.divergence))

    @property
    def demonstrated_paths(self) -> dict[AgentID, tuple[NodeID, ...]]:
        """Of agents whose demonstration worked; what the fallback drove is none."""
        return {outcome.agent: outcome.path for outcome in self.outcomes if outcome.error is None}

    def metrics(self) -> dict[str, float]:
        """Figures to log once per cycle, by their names in `rllib_releds.keys`."""
        return {
            keys.EXPERT_REWARD: self.mean_reward,
            keys.EXPERT_TRAVEL_TIME_S: _mean([outcome.travel_time_s for outcome in self.outcomes]),
            keys.EXPERT_ARRIVAL_RATE: _mean([outcome.arrived for outcome in self.outcomes]),
            keys.EXECUTION_RATE: self.execution_rate,
            keys.REWARD_VOLATILITY: max((pair.reward for pair in self.volatility), default=0.0),
            keys.VOLATILE_STEPS: float(sum(subset.num_volatile_steps for subset in self.subsets)),
            keys.POLICY_DIVERGENCE: max((pair.divergence for pair in self.divergence), default=0.0),
            keys.NONSTATIONARITY_BOUND: max((subset.nonstationarity_bound for subset in self.subsets), default=0.0),
            keys.KEPT_REWARD: _mean([kept.reward for kept in self.kept.values()]) if self.kept else self.mean_reward,
            keys.REVISIONS_KEPT: _mean([kept.is_latest for kept in self.kept.values()]) if self.kept else 1.0,
        }


def agent_outcome(
    trajectory: AgentTrajectory,
    trace: DemonstrationTrace,
    agent_episodes: Sequence[Episode],
    unanswered: str | None = None,
) -> AgentOutcome:
    """What the demonstration of one agent came to."""
    own = [episode[trajectory.agent] for episode in agent_episodes]
    best = min((trip for trip in own if trip.arrived), key=lambda trip: trip.travel_time_s, default=None)
    return AgentOutcome(
        agent=trajectory.agent,
        arrived=trajectory.arrived,
        exit=str(trajectory.exit),
        travel_time_s=trajectory.travel_time_s,
        reward=trajectory.total_reward,
        path=trajectory.path(),
        instructions=trace.instructions,
        error=trace.error,
        policy_reward=_mean([trip.total_reward for trip in own]),
        policy_best_time_s=None if best is None else best.travel_time_s,
        policy_best_path=() if best is None else best.path(),
        unanswered=unanswered,
    )


def cycle_feedback(
    *,
    epoch: int,
    cycle: int,
    agent_episodes: Sequence[Episode],
    rollouts: Sequence[SubsetRollout],
    gamma: float,
    network: RoadNetwork | None = None,
    unanswered: Mapping[AgentID, str] | None = None,
) -> CycleFeedback:
    """The feedback of one cycle.

    Args:
        epoch: in which it was rolled out.
        cycle: its number.
        agent_episodes: what the policies did in the same epoch, at least one episode.
        rollouts: one expert episode per subset.
        gamma: the discount of Theorem 1.
        network: whose roads the episodes drove; None leaves `roads` empty.
        unanswered: agents that followed an earlier answer, and why.
    """
    outcomes = [
        agent_outcome(rollout.episode[agent], rollout.traces[agent], agent_episodes, (unanswered or {}).get(agent))
        for rollout in rollouts
        for agent in rollout.agents
    ]
    subsets = [subset_feedback(rollout, agent_episodes, gamma) for rollout in rollouts]
    return CycleFeedback(
        epoch=epoch,
        cycle=cycle,
        outcomes=tuple(sorted(outcomes, key=lambda outcome: outcome.reward)),
        subsets=tuple(sorted(subsets, key=lambda subset: -subset.nonstationarity_bound)),
        roads=() if network is None else road_times([*agent_episodes, *(r.episode for r in rollouts)], network),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0
