"""The hybrid loss (Eq. 27 and 29 to 31) as pure functions of tensors.

n agents, B rows each. A row is an agent's own decision, a demonstrated one, or padding; padding changes nothing.
Every term is one number per agent: agents share no parameters, so the sum over agents trains each alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rllib_releds.literals import Surrogate


@dataclass(frozen=True)
class LossInputs:
    """What the loss needs of one minibatch.

    Attributes:
        logits: (n, B, m) masked policy logits.
        actions: (n, B) int64, the executed slots.
        old_logps: (n, B) log-probabilities of the actions before this epoch's update (pi_old).
        advantages: (n, B).
        agent_values: (n, B) V^a.
        expert_values: (n, B) V^e; None in a minibatch without demonstrated rows.
        value_targets: (n, B) returns.
        own_rows: (n, B) 1 for own decisions, else 0.
        expert_rows: (n, B) 1 for demonstrated decisions, else 0.
        agent_weights: (n,) alpha of Eq. 30.
    """

    logits: Tensor
    actions: Tensor
    old_logps: Tensor
    advantages: Tensor
    agent_values: Tensor
    expert_values: Tensor | None
    value_targets: Tensor
    own_rows: Tensor
    expert_rows: Tensor
    agent_weights: Tensor


@dataclass(frozen=True)
class LossTerms:
    """Every term of the loss, each of shape (n,) and to be minimised, except `entropy`.

    An imitation has no own rows: `entropy` and `agent_value` are of the demonstrated ones, `total` is its own.

    Attributes:
        agent_policy: clipped surrogate on own rows (Eq. 29), negated.
        expert_policy: the same on expert rows, or the negated log-likelihood in behaviour cloning.
        policy: the two, weighted (Eq. 30).
        entropy: of the policy on own rows.
        agent_value: mean squared error of V^a on own rows (Eq. 27).
        expert_value: mean squared error of V^e on expert rows (Eq. 27).
        total: Eq. 31.
    """

    agent_policy: Tensor
    expert_policy: Tensor
    policy: Tensor
    entropy: Tensor
    agent_value: Tensor
    expert_value: Tensor
    total: Tensor


def masked_mean(values: Tensor, rows: Tensor) -> Tensor:
    """Mean over the rows marked 1; 0 for an agent without any. (n, B), (n, B) -> (n,)."""
    return (values * rows).sum(-1) / rows.sum(-1).clamp(min=1.0)


def action_logps(all_logps: Tensor, actions: Tensor) -> Tensor:
    """(..., m) log-probabilities and (...) int64 actions -> (...) those of the actions."""
    return all_logps.gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def entropies(all_logps: Tensor) -> Tensor:
    """(..., m) log-probabilities -> (...) nats. A masked slot adds nothing: 0 times -1e9."""
    return -(all_logps.exp() * all_logps).sum(-1)


def clipped_surrogate(
    logps: Tensor, old_logps: Tensor, advantages: Tensor, clip_param: float, surrogate: Surrogate
) -> Tensor:
    """Eq. 29 elementwise, with the ratio w = pi / pi_old: min(w A, clip(w) A) as in the PPO paper, or as "printed"
    min(w, clip(w)) A, which is no lower bound for A < 0."""
    ratio = (logps - old_logps).exp()
    clipped = ratio.clamp(1.0 - clip_param, 1.0 + clip_param)
    if surrogate == "printed":
        return torch.minimum(ratio, clipped) * advantages
    return torch.minimum(ratio * advantages, clipped * advantages)


def imitation_loss(inputs: LossInputs, *, vf_loss_coeff: float) -> LossTerms:
    """Behaviour cloning of the demonstrated rows, for the policy and both value networks.

    Args:
        inputs: one minibatch of demonstrated rows.
        vf_loss_coeff: weight of both value losses.
    """
    rows = inputs.expert_rows
    all_logps = inputs.logits.log_softmax(-1)
    policy = -masked_mean(action_logps(all_logps, inputs.actions), rows)
    entropy = masked_mean(entropies(all_logps), rows)
    agent_value = masked_mean((inputs.agent_values - inputs.value_targets).square(), rows)
    expert_value = _expert_value_loss(inputs)
    total = policy + vf_loss_coeff * (agent_value + expert_value)
    return LossTerms(torch.zeros_like(policy), policy, policy, entropy, agent_value, expert_value, total)


def hybrid_loss(
    inputs: LossInputs,
    *,
    clip_param: float,
    entropy_coeff: float,
    vf_loss_coeff: float,
    is_cloning: bool,
    surrogate: Surrogate,
) -> LossTerms:
    """Eq. 31 for every agent.

    Args:
        inputs: one minibatch.
        clip_param: epsilon of Eq. 29.
        entropy_coeff: weight of the entropy bonus.
        vf_loss_coeff: weight of both value losses.
        is_cloning: maximise the log-likelihood of demonstrated actions in place of their surrogate.
        surrogate: see `clipped_surrogate`.
    """
    all_logps = inputs.logits.log_softmax(-1)
    logps = action_logps(all_logps, inputs.actions)
    clipped = clipped_surrogate(logps, inputs.old_logps, inputs.advantages, clip_param, surrogate)
    agent_policy = -masked_mean(clipped, inputs.own_rows)
    expert_policy = -masked_mean(logps if is_cloning else clipped, inputs.expert_rows)
    weights = inputs.agent_weights
    policy = weights * agent_policy + (1.0 - weights) * expert_policy
    entropy = masked_mean(entropies(all_logps), inputs.own_rows)
    agent_value = masked_mean((inputs.agent_values - inputs.value_targets).square(), inputs.own_rows)
    expert_value = _expert_value_loss(inputs)
    total = policy - entropy_coeff * entropy + vf_loss_coeff * (agent_value + expert_value)
    return LossTerms(agent_policy, expert_policy, policy, entropy, agent_value, expert_value, total)


def _expert_value_loss(inputs: LossInputs) -> Tensor:
    """(n,), 0 in a minibatch without demonstrated rows, for which V^e is not asked."""
    if inputs.expert_values is None:
        return torch.zeros_like(inputs.agent_weights)
    return masked_mean((inputs.expert_values - inputs.value_targets).square(), inputs.expert_rows)
