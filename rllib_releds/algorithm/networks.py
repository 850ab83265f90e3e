"""n small networks of equal shape, computed as one: parameters have a leading agent axis, products are batched."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class StackedNetwork(nn.Module):
    """One network per agent: two hidden layers of tanh units and a linear head.

    The input is a feature vector and, optionally, the one-hot code of a junction. The product of a one-hot code with
    the first layer is a row of its weights, so the code is never formed: `junction_weight[i, j]` is that row.

    Args:
        num_agents: n.
        num_features: F.
        num_junctions: J, the length of the one-hot code; 0 for none.
        num_outputs: size of the head.
        hidden_size: units in each hidden layer.
        head_gain: gain of the head's orthogonal initialisation.
        generator: source of the initial weights. Agents draw from it one after another.
    """

    def __init__(
        self,
        *,
        num_agents: int,
        num_features: int,
        num_junctions: int,
        num_outputs: int,
        hidden_size: int,
        head_gain: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        sizes = (num_junctions + num_features, hidden_size, hidden_size, num_outputs)
        gains = (math.sqrt(2.0), math.sqrt(2.0), head_gain)
        weights = [torch.empty(num_agents, *shape) for shape in pairwise(sizes)]
        for agent in range(num_agents):
            for weight, gain in zip(weights, gains, strict=True):
                nn.init.orthogonal_(weight[agent], gain, generator=generator)
        self.num_junctions = num_junctions
        self.junction_weight = nn.Parameter(weights[0][:, :num_junctions].clone()) if num_junctions else None
        self.feature_weight = nn.Parameter(weights[0][:, num_junctions:].clone())
        self.hidden_weight = nn.Parameter(weights[1])
        self.head_weight = nn.Parameter(weights[2])
        self.feature_bias = nn.Parameter(torch.zeros(num_agents, 1, hidden_size))
        self.hidden_bias = nn.Parameter(torch.zeros(num_agents, 1, hidden_size))
        self.head_bias = nn.Parameter(torch.zeros(num_agents, 1, num_outputs))

    def forward(self, features: Tensor, junctions: Tensor) -> Tensor:
        """Rows grouped by agent: (n, B, F) float32 and (n, B) int64 -> (n, B, outputs)."""
        first = torch.baddbmm(self.feature_bias, features, self.feature_weight)
        if self.junction_weight is not None:
            agents = torch.arange(len(junctions), device=junctions.device).unsqueeze(-1)
            rows = agents * self.num_junctions + junctions
            first = first + functional.embedding(rows, self.junction_weight.flatten(0, 1))
        hidden = torch.baddbmm(self.hidden_bias, first.tanh(), self.hidden_weight).tanh()
        return torch.baddbmm(self.head_bias, hidden, self.head_weight)


class SingleNetwork(nn.Module):
    """One agent's network cut out of a stacked one, as an ordinary module.

    Args:
        stacked: the network of all agents.
        agent: index of the agent.
    """

    def __init__(self, stacked: StackedNetwork, agent: int) -> None:
        super().__init__()
        self.num_junctions = stacked.num_junctions
        first = stacked.feature_weight[agent]
        if stacked.junction_weight is not None:
            first = torch.cat([stacked.junction_weight[agent], first])
        self.layers = nn.Sequential(
            _linear(first, stacked.feature_bias[agent]),
            nn.Tanh(),
            _linear(stacked.hidden_weight[agent], stacked.hidden_bias[agent]),
            nn.Tanh(),
            _linear(stacked.head_weight[agent], stacked.head_bias[agent]),
        )

    def forward(self, features: Tensor, junctions: Tensor) -> Tensor:
        """(B, F) float32 and (B,) int64 -> (B, outputs)."""
        if self.num_junctions:
            code = functional.one_hot(junctions, self.num_junctions).to(features.dtype)
            features = torch.cat([code, features], dim=-1)
        return self.layers(features)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(*weight.shape)
    with torch.no_grad():
        layer.weight.copy_(weight.T)
        layer.bias.copy_(bias.squeeze(0))
    return layer
