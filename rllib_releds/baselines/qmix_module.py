"""QMIX's networks: one action-value network per agent, and the monotone mixing network of the team."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn
from torch.nn import functional

from rllib_releds import keys
from rllib_releds.algorithm.encoder import RoutingEncoder, StateEncoder
from rllib_releds.algorithm.inference import FastPolicies
from rllib_releds.algorithm.module import SinglePolicy, mask_logits, masked_outputs
from rllib_releds.algorithm.networks import SingleNetwork, StackedNetwork

MIXING_SIZE = 32
"""Units of the mixing network's hidden layer, as in the QMIX paper."""
VALUE_UNIT = 5.0
"""Size of the team's values for which the mixing network's hidden layer is neither flat nor a straight line."""


class QMIXModule(TorchRLModule, InferenceOnlyAPI):
    """n action-value networks and the mixing network, with their target copies.

    `model_config` holds num_agents, encoder (a name), tables (see `road_tables`), hidden_size, and seed (of the initial
    weights).
    """

    def setup(self) -> None:
        self.epsilon: Tensor
        settings = self.model_config
        generator = torch.Generator().manual_seed(int(settings["seed"]))
        self.num_agents: int = settings["num_agents"]
        self.encoder = RoutingEncoder(settings["encoder"], settings["tables"])
        self.action_values = StackedNetwork(
            num_agents=self.num_agents,
            num_features=self.encoder.num_features,
            num_junctions=self.encoder.num_junctions,
            num_outputs=int(self.action_space.n),
            hidden_size=settings["hidden_size"],
            head_gain=0.01,
            generator=generator,
        )
        # A buffer, so that it travels to env runners with the weights.
        self.register_buffer("epsilon", torch.ones(()))
        if not self.inference_only:
            self.state_encoder = StateEncoder(self.num_agents, settings["tables"])
            self.mixer = MixingNetwork(self.num_agents, self.state_encoder.num_features, generator)
            self.target_action_values = copy.deepcopy(self.action_values).requires_grad_(False)
            self.target_mixer = copy.deepcopy(self.mixer).requires_grad_(False)

    def get_non_inference_attributes(self) -> list[str]:
        return ["state_encoder", "mixer", "target_action_values", "target_mixer"]

    def sampling_policies(self) -> FastPolicies:
        """The policies for env runners; they read this module's parameters in place."""
        return EpsilonGreedyPolicies(self.encoder, self.action_values, self.epsilon)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        return masked_outputs(self.encoder, self.action_values, batch)

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        """Segments from the replay (see `Segments`): (B, L) Q_tot of the executed actions, and the best actions in what
        follows, (B, L, n) int64."""
        values = self.agent_action_values(batch["observations"], batch["action_masks"])
        chosen = values[:, :-1].gather(-1, batch["actions"].unsqueeze(-1)).squeeze(-1)
        return {
            keys.TEAM_VALUES: self.team_value(batch["states"][:, :-1], chosen, batch["is_live"][:, :-1]),
            keys.NEXT_ACTIONS: values[:, 1:].detach().argmax(-1),
        }

    def agent_action_values(self, observations: Tensor, action_masks: Tensor, *, of_target: bool = False) -> Tensor:
        """(..., n, obs_dim) observations and (..., n, m_out) masks -> (..., n, m_out); forbidden ones far below all."""
        leading = observations.shape[:-2]
        encoded = self.encoder(observations, action_masks)
        network = self.target_action_values if of_target else self.action_values
        features = encoded.features.flatten(0, -3).swapaxes(0, 1)
        junctions = encoded.junctions.flatten(0, -2).swapaxes(0, 1)
        values = network(features, junctions).swapaxes(0, 1)
        return mask_logits(values.unflatten(0, leading), action_masks)

    def team_value(self, states: Tensor, chosen: Tensor, is_live: Tensor, *, of_target: bool = False) -> Tensor:
        """Q_tot: (..., S) states and (..., n) values of the chosen actions, 0 for those that left -> (...)."""
        mixer = self.target_mixer if of_target else self.mixer
        return mixer(self.state_encoder(states), chosen * is_live)

    def single_policy(self, agent: int) -> GreedyPolicy:
        """One agent's policy without exploration, as an ordinary torch module with its own copy of the weights."""
        return GreedyPolicy(self.encoder, SingleNetwork(self.action_values, agent))

    @torch.no_grad()
    def update_targets(self, rate: float) -> None:
        """Move the target copies by `rate` of the way to the trained networks."""
        for trained, target in ((self.action_values, self.target_action_values), (self.mixer, self.target_mixer)):
            for new, old in zip(trained.parameters(), target.parameters(), strict=True):
                old.lerp_(new, rate)


class MixingNetwork(nn.Module):
    """Q_tot as a function of the agents' values that increases in each of them: its weights are absolute values of what
    hypernetworks make of the state (Rashid et al. 2018, Section 4).

    It begins near the mean of the agents' values, and hardly depends on the state then: the state has an entry for each
    of hundreds of edges, and hypernetworks that read them unscaled begin with weights that multiply an agent's value by
    about 20. One step of the optimiser then moves Q_tot by more than what a decision is worth, and noise is all that
    agents learn.

    Args:
        num_agents: n.
        num_features: of the encoded state.
        generator: source of the initial weights.
    """

    def __init__(self, num_agents: int, num_features: int, generator: torch.Generator) -> None:
        super().__init__()
        self.num_agents = num_agents
        self.first_weight = nn.Linear(num_features, num_agents * MIXING_SIZE)
        self.first_bias = nn.Linear(num_features, MIXING_SIZE)
        self.second_weight = nn.Linear(num_features, MIXING_SIZE)
        self.second_bias = nn.Sequential(nn.Linear(num_features, MIXING_SIZE), nn.ReLU(), nn.Linear(MIXING_SIZE, 1))
        self._input_scale = num_features**-0.5
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter, generator=generator)
            else:
                nn.init.zeros_(parameter)
        for weight in (self.first_weight, self.second_weight):
            nn.init.ones_(weight.bias)
        # Spread, so that the hidden units bend at different values of the team.
        nn.init.uniform_(self.first_bias.bias, -1.0, 1.0, generator=generator)

    def forward(self, states: Tensor, values: Tensor) -> Tensor:
        """(..., S) encoded states and (..., n) values -> (...)."""
        states = states * self._input_scale
        first = self.first_weight(states).abs().unflatten(-1, (self.num_agents, MIXING_SIZE))
        mixed = (values.unsqueeze(-1) * first).mean(-2) / VALUE_UNIT
        hidden = functional.elu(mixed + self.first_bias(states))
        total = (hidden * self.second_weight(states).abs()).mean(-1) + self.second_bias(states).squeeze(-1)
        return VALUE_UNIT * total


class GreedyPolicy(SinglePolicy):
    """Takes the action of the highest value, with probability 1."""

    def forward(self, observation: Tensor, action_mask: Tensor) -> Tensor:
        values = self.logits(observation, action_mask)
        return functional.one_hot(values.argmax(-1), values.shape[-1]).to(values.dtype)


class EpsilonGreedyPolicies(FastPolicies):
    """The action of the highest value with probability 1 - epsilon, else any valid one.

    Args:
        encoder: of the observations.
        network: gives the action values.
        epsilon: scalar; read in place.
    """

    def __init__(self, encoder: RoutingEncoder, network: StackedNetwork, epsilon: Tensor) -> None:
        super().__init__(encoder, network)
        self._epsilon = epsilon.detach().cpu().numpy()

    def probabilities(
        self, agents: NDArray[np.int64], observations: NDArray[np.float32], action_masks: NDArray[np.int8]
    ) -> NDArray[np.float64]:
        values = self._logits(agents, observations, action_masks)
        greedy = np.eye(values.shape[-1])[values.argmax(axis=-1)]
        uniform = action_masks / action_masks.sum(axis=-1, keepdims=True)
        # Below 1, so that the most probable action is the best one also where all are drawn alike.
        epsilon = min(float(self._epsilon), 1.0 - 1e-9)
        return (1.0 - epsilon) * greedy + epsilon * uniform
