"""Agents that have nothing to imitate, while others do: an update of stacked networks leaves them as they are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Optimizer


class Bystanders:
    """Remembers some agents' weights and Adam's moments of them, all of which have the agents in their first dimension.

    Without it they would go on by momentum, though their gradients are zero.

    Args:
        optimizer: Adam.
        agents: (n,) bool, who has nothing to imitate.
    """

    def __init__(self, optimizer: Optimizer, agents: Tensor) -> None:
        self._optimizer = optimizer
        self._agents = agents
        self._weights: dict[Tensor, Tensor] = {
            parameter: parameter.detach()[agents] for group in optimizer.param_groups for parameter in group["params"]
        }
        self._moments = {
            parameter: {name: value[agents] for name, value in state.items() if value.dim()}
            for parameter, state in optimizer.state.items()
        }
        # One count for all agents: how far the moments, which begin at 0, have come.
        self._steps = {parameter: state["step"].clone() for parameter, state in optimizer.state.items()}

    @torch.no_grad()
    def restore(self) -> None:
        """Undo what the update has done to them."""
        for parameter, weights in self._weights.items():
            parameter[self._agents] = weights
        for parameter, moments in self._moments.items():
            state = self._optimizer.state[parameter]
            state["step"].copy_(self._steps[parameter])
            for name, values in moments.items():
                state[name][self._agents] = values

    @torch.no_grad()
    def renew_adam_of_the_others(self) -> None:
        """Prepare Adam for the usual updates of those that imitated.

        The last gradients of an imitation are tiny. Adam, which remembers them for a thousand updates, would take those
        of the next update for huge ones, and make steps five to ten times as large as the learning rate means.
        """
        if not (self._moments and self._agents.any()):
            self._optimizer.state.clear()
            return
        for parameter, moments in self._moments.items():
            state = self._optimizer.state[parameter]
            # Nothing is known of the gradients to come but that the bystanders' are of that size.
            state["exp_avg"][~self._agents] = 0.0
            state["exp_avg_sq"][~self._agents] = moments["exp_avg_sq"].mean(0)
