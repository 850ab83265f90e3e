"""The policies and value functions of all agents, as one RLModule."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn

from rllib_releds import keys
from rllib_releds.algorithm.encoder import Encoded, RoutingEncoder, StateEncoder
from rllib_releds.algorithm.inference import FastPolicies
from rllib_releds.algorithm.networks import SingleNetwork, StackedNetwork

MASKED_LOGIT = -1e9
"""Logit of a slot that may not be chosen: its probability is 0 and nothing becomes infinite."""


class RoutingModule(TorchRLModule, InferenceOnlyAPI):
    """n policies, n agent values V^a and n expert values V^e, whose parameters carry a leading agent axis.

    One stacked module costs far less than n modules, and is the same mathematics: agents share no parameter.

    With `central_critic` V^a also sees the state of the whole team (MAPPO); policies and V^e never do.

    `model_config` holds num_agents, encoder (a name), tables (see `road_tables`), hidden_size, central_critic, and seed
    (of the initial weights).
    """

    def setup(self) -> None:
        settings = self.model_config
        self.encoder = RoutingEncoder(settings["encoder"], settings["tables"])
        self.num_agents: int = settings["num_agents"]
        generator = torch.Generator().manual_seed(int(settings["seed"]))
        shape = {
            "num_agents": self.num_agents,
            "num_junctions": self.encoder.num_junctions,
            "hidden_size": settings["hidden_size"],
            "generator": generator,
        }
        num_features = self.encoder.num_features
        # A policy that starts uniform over the valid slots explores best, hence the small gain.
        self.policy = StackedNetwork(
            num_features=num_features, num_outputs=int(self.action_space.n), head_gain=0.01, **shape
        )
        if not self.inference_only:
            is_central = settings["central_critic"]
            self.state_encoder = StateEncoder(self.num_agents, settings["tables"]) if is_central else None
            num_state_features = 0 if self.state_encoder is None else self.state_encoder.num_features
            self.agent_value = StackedNetwork(
                num_features=num_features + num_state_features, num_outputs=1, head_gain=1.0, **shape
            )
            self.expert_value = StackedNetwork(num_features=num_features, num_outputs=1, head_gain=1.0, **shape)

    def sampling_policies(self) -> FastPolicies:
        """The policies for env runners; they read this module's parameters in place."""
        return FastPolicies(self.encoder, self.policy)

    def get_non_inference_attributes(self) -> list[str]:
        return ["state_encoder", "agent_value", "expert_value"]

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        return masked_outputs(self.encoder, self.policy, batch)

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        """Encoded rows grouped by agent (see `keys`): logits and values. Without expert rows V^e is left out."""
        encoded = Encoded(batch[keys.FEATURES], batch[keys.JUNCTIONS])
        outputs = {
            Columns.ACTION_DIST_INPUTS: self.logits(encoded, batch[keys.ACTION_MASKS]),
            keys.AGENT_VALUES: self.agent_values(encoded, batch.get(keys.STATES)),
        }
        if batch[keys.EXPERT_ROWS].any():
            outputs[keys.EXPERT_VALUES] = self.expert_values(encoded)
        return outputs

    def logits(self, encoded: Encoded, action_masks: Tensor) -> Tensor:
        """(n, B) encoded rows and their (n, B, m_out) masks -> (n, B, m_out) masked logits."""
        return mask_logits(self.policy(encoded.features, encoded.junctions), action_masks)

    def agent_values(self, encoded: Encoded, states: Tensor | None = None) -> Tensor:
        """(n, B) encoded rows -> (n, B) V^a, in units of scaled rewards; a central critic needs (n, B, S) `states`."""
        features = encoded.features
        if self.state_encoder is not None:
            assert states is not None
            features = torch.cat([features, self.state_encoder(states)], dim=-1)
        return self.agent_value(features, encoded.junctions).squeeze(-1)

    def expert_values(self, encoded: Encoded) -> Tensor:
        """(n, B) encoded rows -> (n, B) V^e, in units of scaled rewards."""
        return self.expert_value(encoded.features, encoded.junctions).squeeze(-1)

    def single_policy(self, agent: int) -> SinglePolicy:
        """One agent's policy alone, as an ordinary torch module with its own copy of the weights.

        Raises:
            IndexError: if there is no such agent.
        """
        if not 0 <= agent < self.num_agents:
            raise IndexError(f"no agent {agent}; this module has agents 0 to {self.num_agents - 1}")
        return SinglePolicy(self.encoder, SingleNetwork(self.policy, agent))


class SinglePolicy(nn.Module):
    """One agent's policy: (B, 2 m_out + 2) observations and (B, m_out) masks -> (B, m_out) probabilities."""

    def __init__(self, encoder: RoutingEncoder, network: SingleNetwork) -> None:
        super().__init__()
        self.encoder = encoder
        self.network = network

    def logits(self, observation: Tensor, action_mask: Tensor) -> Tensor:
        """The same, before the softmax."""
        encoded = self.encoder(observation, action_mask)
        return mask_logits(self.network(encoded.features, encoded.junctions), action_mask)

    def forward(self, observation: Tensor, action_mask: Tensor) -> Tensor:
        return self.logits(observation, action_mask).softmax(-1)


def masked_outputs(encoder: RoutingEncoder, network: StackedNetwork, batch: dict[str, Any]) -> dict[str, Tensor]:
    """Rows of mixed agents, as RLlib batches observations: logits or action values of each row's agent.

    For `RLModule.forward_inference` and `forward_exploration`; env runners here ask `FastPolicies`, which are faster.
    """
    observations = batch[Columns.OBS]
    encoded = encoder(observations["observation"], observations["action_mask"])
    # RLlib's connectors make numbers or one-hot rows of Discrete observations.
    index = observations["agent_index"]
    agents = index.argmax(-1) if index.ndim == 2 else index.long()
    # Every agent's network on every row, of which each row takes its own agent's.
    num_agents = len(network.head_weight)
    outputs = network(encoded.features.expand(num_agents, -1, -1), encoded.junctions.expand(num_agents, -1))
    own = outputs[agents, torch.arange(len(agents), device=agents.device)]
    return {Columns.ACTION_DIST_INPUTS: mask_logits(own, observations["action_mask"])}


def mask_logits(logits: Tensor, action_masks: Tensor) -> Tensor:
    """Logits with every slot that the mask forbids at `MASKED_LOGIT`."""
    return logits.masked_fill(~action_masks.bool(), MASKED_LOGIT)
