"""QMIX's update: double Q-learning of the team's value on segments from the replay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from torch import Tensor

from rllib_releds import keys
from rllib_releds.algorithm.rollouts import SHUFFLING, Rollout, seed_sequence
from rllib_releds.algorithm.routing_learner import RoutingLearner
from rllib_releds.baselines.qmix_module import QMIXModule
from rllib_releds.baselines.replay_buffer import JointEpisode, ReplayBuffer, Segments

_REPLAY = "replay"


class QMIXLearner(RoutingLearner):
    """Trains action values and mixing network; keeps the replay."""

    def build(self) -> None:
        super().build()
        self.replay = ReplayBuffer(self.config.replay_capacity)

    def _create_iterator_if_necessary(self, *, training_data: TrainingData, **kwargs: Any) -> Iterator[MultiAgentBatch]:
        for rollout in training_data.episodes:
            self.replay.add(joint_episode(rollout, self.config.reward_scale))
        rng = np.random.default_rng(seed_sequence(self.config.seed or 0, SHUFFLING, self._epoch))
        env_steps = sum(len(rollout) for rollout in training_data.episodes)
        for _ in range(self.config.num_updates):
            segments = self.replay.sample(self.config.num_segments, self.config.segment_length, rng)
            columns = {
                one.name: torch.from_numpy(getattr(segments, one.name)).to(self._device) for one in fields(Segments)
            }
            yield MultiAgentBatch({keys.MODULE_ID: SampleBatch(columns)}, env_steps=env_steps)

    def _update(self, batch: dict[str, Any], **kwargs: Any) -> Any:
        results = super()._update(batch, **kwargs)
        self.routing_module.update_targets(self.config.target_update_rate)
        return results

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Tensor], fwd_out: dict[str, Tensor]
    ) -> Tensor:
        targets = team_targets(
            self.routing_module,
            batch,
            fwd_out[keys.NEXT_ACTIONS],
            discount=config.team_discount,
            lambda_=config.lambda_,
        )
        errors = (fwd_out[keys.TEAM_VALUES] - targets) * batch["is_step"]
        loss = errors.square().sum() / batch["is_step"].sum()
        self.metrics.log_dict({keys.TOTAL_LOSS: float(loss.detach())}, key=keys.MODULE_ID, window=1)
        return loss

    def postprocess_gradients(self, gradients_dict: dict[Any, Tensor]) -> dict[Any, Tensor]:
        """Clip by the norm of the whole gradient.

        Raises:
            FloatingPointError: if a gradient is not finite.
        """
        gradients = [one.grad for one in self.routing_module.parameters() if one.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if not torch.isfinite(norm):
            raise FloatingPointError("the gradient is not finite; lower lr or check the rewards")
        if self.config.grad_clip is not None and norm > self.config.grad_clip:
            for gradient in gradients:
                gradient.mul_(self.config.grad_clip / norm)
        return gradients_dict

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        super().after_gradient_based_update(timesteps=timesteps)
        epsilon = self.config.epsilon_at(self._epoch + 1)
        self.routing_module.epsilon.fill_(epsilon)
        results = {keys.NUM_UPDATES: self._num_updates, keys.EPSILON: epsilon}
        self.metrics.log_dict(results, key=keys.MODULE_ID, window=1)

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(_REPLAY, components, not_components):
            state[_REPLAY] = self.replay.get_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        if _REPLAY in state:
            self.replay.set_state(state[_REPLAY])


def joint_episode(rollout: Rollout, reward_scale: float) -> JointEpisode:
    """An agent episode for the replay; the team's reward is the mean over its agents, times `reward_scale`."""
    assert rollout.joint is not None
    return JointEpisode(rollout.joint, rollout.episode.rewards.mean(axis=1) * np.float32(reward_scale))


@torch.no_grad()
def team_targets(
    module: QMIXModule, batch: dict[str, Tensor], next_actions: Tensor, *, discount: float, lambda_: float
) -> Tensor:
    """(B, L) lambda returns of each segment: the target copies value (B, L, n) `next_actions`."""
    observations, masks = batch["observations"][:, 1:], batch["action_masks"][:, 1:]
    values = module.agent_action_values(observations, masks, of_target=True)
    chosen = values.gather(-1, next_actions.unsqueeze(-1)).squeeze(-1)
    following = module.team_value(batch["states"][:, 1:], chosen, batch["is_live"][:, 1:], of_target=True)
    rewards, continues, is_last = batch["rewards"], batch["continues"], batch["is_last"]
    targets = torch.zeros_like(rewards)
    later = following[:, -1]
    for step in range(rewards.shape[1] - 1, -1, -1):
        mixed = (1.0 - lambda_) * following[:, step] + lambda_ * later
        ahead = torch.where(is_last[:, step] > 0, following[:, step], mixed)
        later = targets[:, step] = rewards[:, step] + discount * continues[:, step] * ahead
    return targets
