"""The common part of RELED's and the baselines' learners."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.policy.sample_batch import MultiAgentBatch
from torch import Tensor

from rllib_releds import keys


class RoutingLearner(TorchLearner):
    """A learner of one module that holds the networks of all agents.

    RLlib's learner runs `update`. `timesteps` of `update` carries the epoch (`keys.EPOCH`).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._epoch = 0
        self._num_updates = 0

    @property
    def routing_module(self) -> Any:
        return self.module[keys.MODULE_ID].unwrapped()

    def update(self, *args: Any, **kwargs: Any) -> Any:
        """RLlib's update, on `learner_threads` threads.

        On shared cores torch's threads wait for each other: with as many as cores, an epoch took up to 4 times as long.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(self.config.learner_threads)
        try:
            return super().update(*args, **kwargs)
        finally:
            torch.set_num_threads(before)

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        super().before_gradient_based_update(timesteps=timesteps)
        self._epoch = int(timesteps[keys.EPOCH])
        self._num_updates = 0
        left = max(0.0, 1.0 - self._epoch / self.config.num_training_epochs) if self.config.lr_annealing else 1.0
        # In every epoch anew: a restored optimiser has the checkpoint's, though a search may have set another.
        self._set_optimizer_lr(self.get_optimizer(keys.MODULE_ID), lr=left * self.config.lr)

    def apply_gradients(self, gradients_dict: dict[Any, Tensor]) -> None:
        """One Adam step; the gradients are already at their parameters."""
        self.get_optimizer(keys.MODULE_ID).step()
        self._num_updates += 1

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        parameters = [one for one in self.get_parameters(self._module[module_id]) if one.requires_grad]
        self.register_optimizer(
            module_id=module_id,
            optimizer=adam(parameters, self.config.lr),
            params=parameters,
        )

    def set_state(self, state: dict[str, Any]) -> None:
        # RLlib skips weights that are older than its own, which a restored checkpoint's may be.
        self._weights_seq_no = 0
        super().set_state(state)

    def _log_steps_trained_metrics(self, batch: MultiAgentBatch) -> None:
        """RLlib would count agents as rows; `keys.NUM_UPDATES` and the interaction steps tell the same."""


def adam(parameters: list[Tensor], lr: float) -> torch.optim.Adam:
    """Elementwise, so the agents stay independent; fused, because the plain one takes longer than the rest."""
    return torch.optim.Adam(parameters, lr=lr, eps=1e-5, fused=True)
