"""From rollouts to the train batch: rows grouped by agent, returns, advantages and pi_old (Eq. 26 and 28)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from torch import Tensor

from rllib_releds import keys
from rllib_releds.algorithm.encoder import Encoded
from rllib_releds.algorithm.losses import action_logps
from rllib_releds.algorithm.module import RoutingModule
from rllib_releds.algorithm.returns import lambda_returns
from rllib_releds.algorithm.rollouts import Rollout
from rllib_releds.literals import ExpertAdvantage
from sumo_marl_env import AgentTrajectory, Exit

MAX_EXPERT_ADVANTAGE = 5.0
"""Demonstrated advantages are clamped to this many standard deviations of the agent's own ones."""

MIN_DEVIATION = 1e-6


class TrainingTargets(ConnectorV2):
    """The learner pipeline's only piece: `Rollout`s in, a train batch for the stacked module out (see `keys`).

    Without agent episodes the rows are there to be imitated, with discounted returns as value targets.

    Own advantages are standardised per agent. A demonstrated decision's advantage is, by `expert_advantage`,

    - "agent_value": (R^e - V^a) / sd, where sd is that of the agent's own advantages: positive where the expert does
      better than the agent would, and fading as the agent catches up;
    - "paper": (R^e - V^e) / sd, Eq. 28 as printed, which vanishes as soon as V^e fits;
    - "behaviour_cloning": 1, for a loss that maximises the log-likelihood;

    the first two neither centred nor beyond `MAX_EXPERT_ADVANTAGE`. Without `standardise_advantages` own ones and
    demonstrated ones enter the loss as they are.

    pi_old is the policy of this moment, before the epoch's update, for own and demonstrated decisions alike, so that
    every ratio starts at 1 in every epoch.

    The rollouts are left as they are: expert rollouts are used in several epochs.

    Args:
        gamma: discount per decision.
        lambda_: of the generalised advantage estimate.
        reward_scale: factor on rewards, so that values are of order 1.
        expert_advantage: see above.
        num_minibatches: both blocks of rows are padded to a multiple of it.
        standardise_advantages: see above.
    """

    def __init__(
        self,
        input_observation_space: Any = None,
        input_action_space: Any = None,
        *,
        gamma: float,
        lambda_: float,
        reward_scale: float,
        expert_advantage: ExpertAdvantage,
        num_minibatches: int,
        standardise_advantages: bool = True,
    ) -> None:
        super().__init__(input_observation_space, input_action_space)
        self.gamma = gamma
        self.lambda_ = lambda_
        self.reward_scale = reward_scale
        self.expert_advantage = expert_advantage
        self.num_minibatches = num_minibatches
        self.standardise_advantages = standardise_advantages

    @torch.no_grad()
    def __call__(
        self, *, rl_module: Any, batch: dict[str, Any], episodes: Sequence[Rollout], **kwargs: Any
    ) -> dict[str, Any]:
        module: RoutingModule = rl_module[keys.MODULE_ID].unwrapped()
        own = [rollout for rollout in episodes if rollout.expert is None]
        demonstrated = [rollout for rollout in episodes if rollout.expert is not None]
        if not own:
            batch[keys.MODULE_ID] = self._imitation_columns(module, demonstrated)
            return batch
        own_block = self._block(module, own)
        returns = self._returns(own_block, own_block.agent_values)
        advantages = (returns - own_block.agent_values) * own_block.rows.is_decision
        deviation = None
        if self.standardise_advantages:
            advantages, deviation = _standardise(advantages, own_block.rows.is_decision)
        blocks = [self._columns(own_block, returns, advantages, is_expert=False)]
        if demonstrated:
            expert_block = self._block(module, demonstrated)
            expert_values = module.expert_values(expert_block.encoded).numpy()
            expert_returns = self._returns(expert_block, expert_values)
            baseline = expert_values if self.expert_advantage == "paper" else expert_block.agent_values
            expert_advantages = self._expert_advantages(expert_returns, baseline, deviation)
            blocks.append(self._columns(expert_block, expert_returns, expert_advantages, is_expert=True))
        batch[keys.MODULE_ID] = {
            name: torch.cat([torch.from_numpy(block[name]) for block in blocks], dim=1) for name in blocks[0]
        }
        return batch

    def _imitation_columns(self, module: RoutingModule, demonstrated: Sequence[Rollout]) -> dict[str, Tensor]:
        """Demonstrated decisions alone, with discounted returns: no value network knows anything yet.

        Where a trip was cut off, V^a stands for the rest of it, in the targets of both value networks.
        """
        block = self._block(module, demonstrated)
        returns = self._returns(block, block.agent_values, lambda_=1.0)
        columns = self._columns(block, returns, np.ones_like(returns), is_expert=True)
        return {name: torch.from_numpy(column) for name, column in columns.items()}

    def _block(self, module: RoutingModule, rollouts: Sequence[Rollout]) -> _Block:
        rows = _group(rollouts, module.num_agents)
        states = None if rows.states is None else torch.from_numpy(rows.states)
        encoded = module.encoder(torch.from_numpy(rows.observations), torch.from_numpy(rows.action_masks))
        logits = module.logits(encoded, torch.from_numpy(rows.action_masks))
        logps = action_logps(logits.log_softmax(-1), torch.from_numpy(rows.actions))
        return _Block(
            rows=rows,
            encoded=encoded,
            logps=logps.numpy(),
            agent_values=module.agent_values(encoded, states).numpy(),
        )

    def _returns(self, block: _Block, values: NDArray[np.float32], lambda_: float | None = None) -> NDArray[np.float32]:
        returns = np.zeros_like(values)
        for agent, start, trajectory in block.rows.trajectories:
            stop = start + len(trajectory.actions)
            returns[agent, start:stop] = lambda_returns(
                trajectory.rewards * np.float32(self.reward_scale),
                values[agent, start:stop],
                # The row after a trajectory's decisions is what the agent saw last.
                0.0 if trajectory.exit == Exit.ARRIVED else float(values[agent, stop]),
                gamma=self.gamma,
                lambda_=self.lambda_ if lambda_ is None else lambda_,
            )
        return returns

    def _expert_advantages(
        self, returns: NDArray[np.float32], baseline: NDArray[np.float32], deviation: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        if self.expert_advantage == "behaviour_cloning":
            return np.ones_like(returns)
        if deviation is None:
            return returns - baseline
        return np.clip((returns - baseline) / deviation, -MAX_EXPERT_ADVANTAGE, MAX_EXPERT_ADVANTAGE)

    def _columns(
        self, block: _Block, returns: NDArray[np.float32], advantages: NDArray[np.float32], *, is_expert: bool
    ) -> dict[str, NDArray]:
        """The block's decisions as columns of the train batch, final rows left out, padded at the end."""
        index, mask = _decision_index(block.rows.is_decision, self.num_minibatches)
        none = np.zeros_like(mask)
        columns = {
            keys.FEATURES: block.encoded.features.numpy(),
            keys.JUNCTIONS: block.encoded.junctions.numpy(),
            keys.ACTION_MASKS: block.rows.action_masks.astype(bool),
            Columns.ACTIONS: block.rows.actions,
            Columns.ACTION_LOGP: block.logps,
            keys.ADVANTAGES: advantages,
            keys.VALUE_TARGETS: returns,
        }
        if block.rows.states is not None:
            columns[keys.STATES] = block.rows.states
        agents = np.arange(len(index))[:, None]
        selected = {name: column[agents, index] for name, column in columns.items()}
        return {
            **selected,
            keys.OWN_ROWS: none if is_expert else mask,
            keys.EXPERT_ROWS: mask if is_expert else none,
        }


@dataclass(frozen=True)
class _Rows:
    """n agents, B rows each: the decisions of each trajectory, followed by one row of what was seen last.

    Padding is what the agent saw last in the first rollout, a valid observation also for an agent without rows.
    """

    observations: NDArray[np.float32]
    action_masks: NDArray[np.int8]
    actions: NDArray[np.int64]
    is_decision: NDArray[np.float32]
    states: NDArray[np.float32] | None
    """Of the whole team; None unless the rollouts have it."""
    trajectories: tuple[tuple[int, int, AgentTrajectory], ...]
    """(agent, first row, trajectory)."""


@dataclass(frozen=True)
class _Block:
    """Rows of one source, and what the module makes of them; arrays are (n, B, ...)."""

    rows: _Rows
    encoded: Encoded
    logps: NDArray[np.float32]
    agent_values: NDArray[np.float32]


def _group(rollouts: Sequence[Rollout], num_agents: int) -> _Rows:
    items: list[list[tuple[AgentTrajectory, Rollout]]] = [[] for _ in range(num_agents)]
    for rollout in rollouts:
        for agent, trajectory in rollout.training_rows():
            items[agent].append((trajectory, rollout))
    width = max(1, max(sum(len(t.actions) + 1 for t, _ in rows) for rows in items))
    filler = rollouts[0]
    observations = np.repeat(filler.final_observations[:, None], width, axis=1)
    action_masks = np.repeat(filler.final_masks[:, None], width, axis=1)
    actions = np.zeros((num_agents, width), np.int64)
    is_decision = np.zeros((num_agents, width), np.float32)
    states = None if filler.joint is None else np.zeros((num_agents, width, filler.joint.states.shape[1]), np.float32)
    trajectories = []
    for agent, rows in enumerate(items):
        start = 0
        for trajectory, rollout in rows:
            stop = start + len(trajectory.actions)
            observations[agent, start:stop] = trajectory.observations
            action_masks[agent, start:stop] = trajectory.action_masks
            actions[agent, start:stop] = trajectory.actions
            is_decision[agent, start:stop] = 1.0
            observations[agent, stop] = rollout.final_observations[agent]
            action_masks[agent, stop] = rollout.final_masks[agent]
            if states is not None and rollout.joint is not None:
                states[agent, start:stop] = rollout.joint.states[trajectory.decision_steps]
                states[agent, stop] = rollout.joint.states[-1]
            trajectories.append((agent, start, trajectory))
            start = stop + 1
    return _Rows(observations, action_masks, actions, is_decision, states, tuple(trajectories))


def _decision_index(
    is_decision: NDArray[np.float32], num_minibatches: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """(n, B') index of every agent's decisions, in order, then padding; and the mask that tells them apart."""
    counts = is_decision.sum(axis=1).astype(np.intp)
    width = -(-max(1, int(counts.max())) // num_minibatches) * num_minibatches
    index = np.zeros((len(is_decision), width), np.intp)
    mask = np.zeros((len(is_decision), width), np.float32)
    for agent, count in enumerate(counts.tolist()):
        index[agent, :count] = np.flatnonzero(is_decision[agent])
        mask[agent, :count] = 1.0
    return index, mask


def _standardise(
    advantages: NDArray[np.float32], rows: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Per agent: advantages with mean 0 and standard deviation 1 over the marked rows, and (n, 1) that deviation.

    An agent with fewer than two rows has none; it gets the mean of the others'.
    """
    counts = np.maximum(rows.sum(axis=1, keepdims=True), 1.0)
    mean = (advantages * rows).sum(axis=1, keepdims=True) / counts
    variance = (np.square(advantages - mean) * rows).sum(axis=1, keepdims=True) / counts
    deviation = np.sqrt(variance) + np.float32(MIN_DEVIATION)
    has_own = counts > 1.0
    deviation = np.where(has_own, deviation, deviation[has_own].mean() if has_own.any() else np.float32(1.0))
    return (advantages - mean) / deviation * rows, deviation
