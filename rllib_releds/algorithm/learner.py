"""The update: a fixed number of passes over every agent's rows, each agent trained as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from torch import Tensor, nn

from rllib_releds import keys
from rllib_releds.algorithm.encoder import Encoded
from rllib_releds.algorithm.losses import LossInputs, LossTerms, action_logps, hybrid_loss, imitation_loss, masked_mean
from rllib_releds.algorithm.rollouts import SHUFFLING, seed_sequence
from rllib_releds.algorithm.routing_learner import RoutingLearner, adam

NETWORKS = ("policy", "agent_value", "expert_value")


class RELEDLearner(RoutingLearner):
    """Trains the stacked module with the hybrid loss.

    RLlib's learner runs `update`; it gets from here the minibatches, the loss and the gradient clipping. `timesteps` of
    `update` carries the epoch (`keys.EPOCH`) and (n,) agent weights (`keys.AGENT_WEIGHTS`).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._agent_weights: NDArray[np.float32] | None = None
        self._is_imitation = False
        self._imitation_adam: torch.optim.Adam | None = None
        self._rows: dict[str, Tensor] = {}
        self._terms: LossTerms | None = None

    # What RLlib's update calls, in this order.

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        super().before_gradient_based_update(timesteps=timesteps)
        self._agent_weights = np.asarray(timesteps[keys.AGENT_WEIGHTS], np.float32)

    def _create_iterator_if_necessary(
        self, *, training_data: TrainingData, num_epochs: int, **kwargs: Any
    ) -> Iterator[MultiAgentBatch]:
        """Every row of every agent exactly `num_epochs` times, in `num_minibatches` parts per pass.

        RLlib's own iterator takes minibatches of a fixed number of rows and cycles agents that have fewer, so that
        some make many more passes than configured.
        """
        batch = self._learner_connector(
            rl_module=self.module, batch={}, episodes=training_data.episodes, shared_data={}, metrics=self.metrics
        )
        self._rows = {name: column.to(self._device) for name, column in batch[keys.MODULE_ID].items()}
        self._is_imitation = not self._rows[keys.OWN_ROWS].any()
        if self._is_imitation:
            # One of its own: who imitates nothing has no gradient there, and does not move. The last gradients of an
            # imitation are tiny, and after them the usual ones would look huge: the usual Adam does not see them.
            group = self.get_optimizer(keys.MODULE_ID).param_groups[0]
            self._imitation_adam = adam(group["params"], group["lr"])
        weights = torch.as_tensor(self._agent_weights, device=self._device)
        rng = np.random.default_rng(seed_sequence(self.config.seed or 0, SHUFFLING, self._epoch))
        env_steps = sum(len(rollout) for rollout in training_data.episodes)
        for _ in range(num_epochs):
            for rows in minibatches(self._rows, self.config.num_minibatches, rng):
                columns = SampleBatch({**rows, keys.AGENT_WEIGHTS: weights})
                yield MultiAgentBatch({keys.MODULE_ID: columns}, env_steps=env_steps)

    def apply_gradients(self, gradients_dict: dict[Any, Tensor]) -> None:
        if self._imitation_adam is None:
            super().apply_gradients(gradients_dict)
        else:
            self._imitation_adam.step()
            self._num_updates += 1

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Tensor], fwd_out: dict[str, Tensor]
    ) -> Tensor:
        inputs = LossInputs(
            logits=fwd_out[Columns.ACTION_DIST_INPUTS],
            actions=batch[Columns.ACTIONS],
            old_logps=batch[Columns.ACTION_LOGP],
            advantages=batch[keys.ADVANTAGES],
            agent_values=fwd_out[keys.AGENT_VALUES],
            expert_values=fwd_out.get(keys.EXPERT_VALUES),
            value_targets=batch[keys.VALUE_TARGETS],
            own_rows=batch[keys.OWN_ROWS],
            expert_rows=batch[keys.EXPERT_ROWS],
            agent_weights=batch[keys.AGENT_WEIGHTS],
        )
        if self._is_imitation:
            self._terms = imitation_loss(inputs, vf_loss_coeff=config.vf_loss_coeff)
        else:
            self._terms = hybrid_loss(
                inputs,
                clip_param=config.clip_param,
                entropy_coeff=config.entropy_coeff,
                vf_loss_coeff=config.vf_loss_coeff,
                is_cloning=config.expert_advantage == "behaviour_cloning",
                surrogate=config.surrogate,
            )
        # The sum, not the mean: each agent's gradient is that of its own loss.
        return self._terms.total.sum()

    def postprocess_gradients(self, gradients_dict: dict[Any, Tensor]) -> dict[Any, Tensor]:
        """Clip each agent's gradient in each network by its norm.

        Raises:
            FloatingPointError: if a gradient is not finite, naming the agents.
        """
        for name in NETWORKS:
            clip_per_agent(getattr(self.routing_module, name), self.config.grad_clip)
        return gradients_dict

    @torch.no_grad()
    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        super().after_gradient_based_update(timesteps=timesteps)
        assert self._terms is not None
        results = {name: float(value) for name, value in (_term_results(self._terms) | self._row_results()).items()}
        self.metrics.log_dict({**results, keys.NUM_UPDATES: self._num_updates}, key=keys.MODULE_ID, window=1)
        if self._is_imitation:
            imitated = self._rows[keys.EXPERT_ROWS].any(-1)
            # The momentum from before leads away from where they are now.
            for state in self.get_optimizer(keys.MODULE_ID).state.values():
                state["exp_avg"][imitated] = 0.0
        self._rows, self._terms, self._imitation_adam = {}, None, None

    def _row_results(self) -> dict[str, Tensor]:
        """Metrics over the whole batch: before the update those of the batch, after it those of the networks."""
        rows, module = self._rows, self.routing_module
        encoded = Encoded(rows[keys.FEATURES], rows[keys.JUNCTIONS])
        all_logps = module.logits(encoded, rows[keys.ACTION_MASKS]).log_softmax(-1)
        logps = action_logps(all_logps, rows[Columns.ACTIONS])
        own, expert = rows[keys.OWN_ROWS], rows[keys.EXPERT_ROWS]
        has_own, has_expert = own.any(-1), expert.any(-1)
        results = {}
        if has_own.any():
            values = module.agent_values(encoded, rows.get(keys.STATES))
            results[keys.KL] = masked_mean(masked_mean(rows[Columns.ACTION_LOGP] - logps, own), has_own)
            explained = explained_variance(rows[keys.VALUE_TARGETS], values, own)
            results[keys.EXPLAINED_VARIANCE] = masked_mean(explained, has_own)
        if has_expert.any():
            probabilities = masked_mean(rows[Columns.ACTION_LOGP].exp(), expert)
            results[keys.EXPERT_PROBABILITY] = masked_mean(probabilities, has_expert)
        return results


def minibatches(rows: dict[str, Tensor], num_minibatches: int, rng: np.random.Generator) -> Iterator[dict[str, Tensor]]:
    """One pass: every agent's own rows and its expert rows, each in random order, dealt out to the minibatches.

    Args:
        rows: (n, B, ...) columns; B holds both blocks, each padded to a multiple of `num_minibatches`.
        num_minibatches: parts.
        rng: source of the order.

    Yields:
        The same columns with B / `num_minibatches` rows.
    """
    own, expert = (rows[name].cpu().numpy() for name in (keys.OWN_ROWS, keys.EXPERT_ROWS))
    num_own = _own_width(expert)
    blocks = [_deal(own[:, :num_own], num_minibatches, rng)] if num_own else []
    if num_own < own.shape[1]:
        blocks.append(_deal(expert[:, num_own:], num_minibatches, rng) + num_own)
    index = torch.from_numpy(np.concatenate(blocks, axis=-1))
    agents = torch.arange(len(index))[:, None, None]
    columns = {name: column[agents, index] for name, column in rows.items()}
    for part in range(num_minibatches):
        yield {name: column[:, part] for name, column in columns.items()}


def _own_width(expert_rows: NDArray[np.float32]) -> int:
    """Number of leading columns that hold no expert row: expert rows form the second block."""
    has_expert = expert_rows.any(axis=0)
    return int(has_expert.argmax()) if has_expert.any() else expert_rows.shape[1]


def _deal(mask: NDArray[np.float32], num_parts: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(n, B) mask -> (n, num_parts, B / num_parts) row numbers: marked rows shuffled and dealt out one by one."""
    order = np.where(mask > 0, rng.random(mask.shape), 2.0).argsort(axis=1)
    return order.reshape(len(mask), -1, num_parts).swapaxes(1, 2)


def clip_per_agent(network: nn.Module, max_norm: float | None) -> None:
    """Scale the gradient of each agent in a stacked network, in place, to at most `max_norm`.

    Raises:
        FloatingPointError: if an agent's gradient is not finite.
    """
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    if not gradients:
        return
    norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients])
    norm = torch.linalg.vector_norm(norms, dim=0)
    if not torch.isfinite(norm).all():
        agents = torch.nonzero(~torch.isfinite(norm)).flatten().tolist()
        raise FloatingPointError(f"the gradient of agents {agents} is not finite; lower lr or check the rewards")
    if max_norm is None or not (norm > max_norm).any():
        return
    scale = (max_norm / norm.clamp(min=1e-8)).clamp(max=1.0).view(-1, 1, 1)
    for gradient in gradients:
        gradient.mul_(scale)


def explained_variance(targets: Tensor, values: Tensor, rows: Tensor) -> Tensor:
    """(n,) 1 - Var(targets - values) / Var(targets) over the marked rows; 0 where the targets are constant."""
    total = _variance(targets, rows)
    return torch.where(total > 1e-8, 1.0 - _variance(targets - values, rows) / total.clamp(min=1e-8), 0.0)


def _variance(values: Tensor, rows: Tensor) -> Tensor:
    centred = values - masked_mean(values, rows).unsqueeze(-1)
    return masked_mean(centred.square(), rows)


def _term_results(terms: LossTerms) -> dict[str, Tensor]:
    """Terms of the last minibatch, mean over agents."""
    return {
        keys.AGENT_POLICY_LOSS: terms.agent_policy.mean(),
        keys.EXPERT_POLICY_LOSS: terms.expert_policy.mean(),
        keys.POLICY_LOSS: terms.policy.mean(),
        keys.ENTROPY: terms.entropy.mean(),
        keys.AGENT_VALUE_LOSS: terms.agent_value.mean(),
        keys.EXPERT_VALUE_LOSS: terms.expert_value.mean(),
        keys.TOTAL_LOSS: terms.total.mean(),
    }
