"""How much a subset's demonstrations disturb the other agents: Eq. 18 to 24 and Theorem 1, as pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rllib_releds.demonstrations.protocol import DemonstrationTrace, SubsetRollout
from sumo_marl_env import AgentID, AgentTrajectory, Episode, Instruction, NodeID

MAX_DIVERGENCE = 23.0
"""About ln(1e10): what an action of probability 0 counts (Eq. 22), so that no divergence is infinite."""


@dataclass(frozen=True, slots=True)
class VolatilityPair:
    """One element of R^j (Eq. 19): while `agent` executed `instruction`, the others' reward fell below the bound.

    Attributes:
        agent: an agent of the subset.
        instruction: what it was executing at `step`.
        step: environment step t of T_j.
        time_s: simulated time at the end of that step.
        reward: |r_t^{A-j}|.
        junction: the junction that the agent had passed last.
    """

    agent: AgentID
    instruction: Instruction
    step: int
    time_s: float
    reward: float
    junction: NodeID


@dataclass(frozen=True, slots=True)
class DivergencePair:
    """One element of K^j (Eq. 24): the demonstrated action of `agent` that its policy finds least likely.

    Attributes:
        agent: an agent of the subset.
        instruction: what it was executing at t*.
        divergence: max_t ln(1 / pi(u_t | o_t)), at most `MAX_DIVERGENCE`.
        decision: row t* of its trajectory (Eq. 23).
        time_s: simulated time of that decision.
        action: the demonstrated action slot.
        observation: what the agent saw.
    """

    agent: AgentID
    instruction: Instruction
    divergence: float
    decision: int
    time_s: float
    action: int
    observation: tuple[float, ...]


@dataclass(frozen=True)
class SubsetFeedback:
    """Both measures of one subset A_j.

    Attributes:
        agents: the subset.
        reward_bound: max_t |r_t^{A-j}| over the agent episodes (Eq. 18).
        num_volatile_steps: size of T_j, before `volatility` was cut to the worst pairs.
        volatility: R^j, worst first.
        divergence: K^j, worst first.
        nonstationarity_bound: Theorem 1, of the largest |r_t^{A-j}| in the agent and the expert episodes (Eq. 5).
    """

    agents: tuple[AgentID, ...]
    reward_bound: float
    num_volatile_steps: int
    volatility: tuple[VolatilityPair, ...]
    divergence: tuple[DivergencePair, ...]
    nonstationarity_bound: float


def outside_rewards(episode: Episode, subset: Sequence[AgentID]) -> NDArray[np.float64]:
    """r_t^{A-j}: (T,) float64, summed reward per environment step of the agents outside the subset."""
    outside = [trajectory.agent not in subset for trajectory in episode]
    return episode.rewards[:, outside].sum(axis=1, dtype=np.float64)


def reward_bound(agent_episodes: Sequence[Episode], subset: Sequence[AgentID]) -> float:
    """max_t |r_t^{A-j}| over these episodes (Eq. 18).

    Raises:
        ValueError: without a single agent episode there is no bound.
    """
    if not agent_episodes:
        raise ValueError("reward volatility needs at least one agent episode of the same epoch")
    return max(float(np.abs(outside_rewards(episode, subset)).max(initial=0.0)) for episode in agent_episodes)


def volatile_steps(expert_episode: Episode, subset: Sequence[AgentID], bound: float) -> NDArray[np.intp]:
    """T_j of Eq. 18: the steps of the expert episode in which the others lost more than `bound`."""
    return np.flatnonzero(outside_rewards(expert_episode, subset) < -bound)


def reward_volatility(rollout: SubsetRollout, steps: NDArray[np.intp]) -> tuple[VolatilityPair, ...]:
    """R^j of Eq. 19, worst first.

    Args:
        rollout: the expert episode of the subset.
        steps: T_j.
    """
    rewards = outside_rewards(rollout.episode, rollout.agents)
    pairs = []
    for step in steps.tolist():
        for agent in rollout.agents:
            trajectory, trace = rollout.episode[agent], rollout.traces[agent]
            decision = _decision_at(rollout.episode, trajectory, step)
            if decision is None:
                continue
            pairs.append(
                VolatilityPair(
                    agent=agent,
                    instruction=_instruction(trace, decision),
                    step=step,
                    time_s=float(rollout.episode.times_s[step]),
                    reward=abs(float(rewards[step])),
                    junction=int(trajectory.junctions[trajectory.decision_edges[decision]]),
                )
            )
    return tuple(sorted(pairs, key=lambda pair: -pair.reward))


def policy_divergence(rollout: SubsetRollout) -> tuple[DivergencePair, ...]:
    """K^j of Eq. 22 to 24, worst first; an agent that decided nothing has no pair."""
    pairs = []
    for agent in rollout.agents:
        trajectory = rollout.episode[agent]
        if not len(trajectory.actions):
            continue
        divergences = divergence_per_decision(rollout.logps[agent])
        decision = int(divergences.argmax())
        pairs.append(
            DivergencePair(
                agent=agent,
                instruction=_instruction(rollout.traces[agent], decision),
                divergence=float(divergences[decision]),
                decision=decision,
                time_s=float(trajectory.decision_times_s[decision]),
                action=int(trajectory.actions[decision]),
                observation=tuple(float(value) for value in trajectory.observations[decision]),
            )
        )
    return tuple(sorted(pairs, key=lambda pair: -pair.divergence))


def divergence_per_decision(logps: NDArray[np.float32]) -> NDArray[np.float64]:
    """ln(1 / pi(u_t | o_t)) in [0, MAX_DIVERGENCE]; a probability of 0 counts as the largest."""
    return np.clip(np.nan_to_num(-np.asarray(logps, np.float64), nan=MAX_DIVERGENCE), 0.0, MAX_DIVERGENCE)


def nonstationarity_bound(gamma: float, max_reward: float, divergences: Sequence[float]) -> float:
    """Theorem 1 (Eq. 12): sqrt(2) / (1 - gamma)^2 * max|r| * sum_k maxKL_k.

    Raises:
        ValueError: unless 0 <= gamma < 1.
    """
    if not 0.0 <= gamma < 1.0:
        raise ValueError(f"gamma must be in [0, 1), got {gamma}")
    return float(np.sqrt(2.0) / (1.0 - gamma) ** 2 * max_reward * sum(divergences))


def subset_feedback(
    rollout: SubsetRollout, agent_episodes: Sequence[Episode], gamma: float, max_pairs: int = 10
) -> SubsetFeedback:
    """Both measures of one subset; `volatility` is cut to the `max_pairs` worst."""
    bound = reward_bound(agent_episodes, rollout.agents)
    steps = volatile_steps(rollout.episode, rollout.agents, bound)
    divergence = policy_divergence(rollout)
    largest = max(bound, reward_bound([rollout.episode], rollout.agents))
    return SubsetFeedback(
        agents=rollout.agents,
        reward_bound=bound,
        num_volatile_steps=len(steps),
        volatility=reward_volatility(rollout, steps)[:max_pairs],
        divergence=divergence,
        nonstationarity_bound=nonstationarity_bound(gamma, largest, [pair.divergence for pair in divergence]),
    )


def _decision_at(episode: Episode, trajectory: AgentTrajectory, step: int) -> int | None:
    """Row of the decision that the agent is carrying out in environment step `step`; None before and after its trip."""
    decision = int(np.searchsorted(trajectory.decision_steps, step, side="right")) - 1
    began_s = float(episode.times_s[step - 1]) if step else 0.0
    ended_s = trajectory.trip.depart_s + trajectory.travel_time_s
    return decision if decision >= 0 and began_s < ended_s else None


def _instruction(trace: DemonstrationTrace, decision: int) -> Instruction:
    return trace.instructions[int(trace.instruction_at[decision])]
