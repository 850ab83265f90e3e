"""The policies for sampling: one decision at a time in NumPy, where torch calls would cost more than the arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from rllib_releds.algorithm.encoder import RoutingEncoder
from rllib_releds.algorithm.networks import StackedNetwork
from sumo_marl_env import AgentID, RoutingEnv

_LAYERS = ("feature", "hidden", "head")
MIN_LOGP = -50.0
"""Log-probability of a slot that the mask forbids, kept finite."""


class FastPolicies:
    """Action probabilities of single observations, equal to those of `RoutingModule`.

    Args:
        encoder: of the observations.
        network: gives the logits; its parameters are read in place, so that new weights take effect at once.
    """

    def __init__(self, encoder: RoutingEncoder, network: StackedNetwork) -> None:
        self._encoder = encoder
        self._fixed: dict[tuple[int, int], NDArray[np.float32]] = {}
        parameters = {name: value.detach().cpu().numpy() for name, value in network.named_parameters()}
        self._junction_weight = parameters.get("junction_weight")
        self._layers = [(parameters[f"{name}_weight"], parameters[f"{name}_bias"]) for name in _LAYERS]

    def probabilities(
        self, agents: NDArray[np.int64], observations: NDArray[np.float32], action_masks: NDArray[np.int8]
    ) -> NDArray[np.float64]:
        """(R, m_out) probabilities of R observations of the given agents; 0 where the mask forbids."""
        logits = self._logits(agents, observations, action_masks)
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)

    def log_probabilities(
        self, agent: int, observations: NDArray[np.float32], action_masks: NDArray[np.int8], actions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """(R,) log-probability that one agent gives to R actions, at least `MIN_LOGP`."""
        if not len(actions):
            return np.zeros(0, np.float32)
        rows = self.probabilities(np.full(len(actions), agent), observations, action_masks)
        chosen = rows[np.arange(len(actions)), actions]
        return np.log(np.maximum(chosen, np.exp(MIN_LOGP))).astype(np.float32)

    def _logits(
        self, agents: NDArray[np.int64], observations: NDArray[np.float32], action_masks: NDArray[np.int8]
    ) -> NDArray[np.float64]:
        logits = np.empty(action_masks.shape)
        scores = np.maximum(observations[:, 2::2], 0.0)
        # One vector at a time: gathering the weights of every row's agent would copy them.
        for row, agent in enumerate(agents.tolist()):
            junction, destination = int(observations[row, 0]), int(observations[row, 1])
            features = np.concatenate([self._fixed_features(junction, destination), scores[row], action_masks[row]])
            logits[row] = self._network(features.astype(np.float32, copy=False), junction, agent)
        return np.where(action_masks > 0, logits, -np.inf)

    def _fixed_features(self, junction: int, destination: int) -> NDArray[np.float32]:
        """What `RoutingEncoder` makes of the two ids; computed once for each pair, as weights do not enter."""
        key = (junction, destination)
        if key not in self._fixed:
            ids = torch.tensor(key)
            self._fixed[key] = self._encoder.fixed_features(ids[0], ids[1]).numpy()
        return self._fixed[key]

    def _network(self, features: NDArray[np.float32], junction: int, agent: int) -> NDArray[np.float32]:
        (first, first_bias), (hidden, hidden_bias), (head, head_bias) = self._layers
        values = features @ first[agent] + first_bias[agent, 0]
        if self._junction_weight is not None:
            values += self._junction_weight[agent, junction]
        values = np.tanh(np.tanh(values) @ hidden[agent] + hidden_bias[agent, 0])
        return values @ head[agent] + head_bias[agent, 0]


def decide(
    policies: FastPolicies,
    env: RoutingEnv,
    agents: Sequence[AgentID],
    index: Mapping[AgentID, int],
    rng: np.random.Generator | None,
) -> list[int]:
    """The action slots of agents that have a decision to make.

    Args:
        policies: of all agents.
        env: in which they are.
        agents: who decides.
        index: the number of each agent's policy.
        rng: draws the actions; None takes the most probable ones.
    """
    seen = [env.observe(agent) for agent in agents]
    observations = np.array([one["observation"] for one in seen])
    masks = np.array([one["action_mask"] for one in seen])
    rows = np.array([index[agent] for agent in agents])
    return choose(policies.probabilities(rows, observations, masks), rng).tolist()


def choose(probabilities: NDArray[np.float64], rng: np.random.Generator | None) -> NDArray[np.int64]:
    """(R, m_out) probabilities -> (R,) actions: drawn from them, or the most probable ones without a generator."""
    if rng is None:
        return probabilities.argmax(axis=-1)
    thresholds = rng.random(len(probabilities))[:, None]
    # The last slot with a positive probability catches what rounding leaves above the cumulative sum.
    drawn = (probabilities.cumsum(axis=-1) <= thresholds).sum(axis=-1)
    last = probabilities.shape[1] - 1 - (probabilities[:, ::-1] > 0).argmax(axis=-1)
    return np.minimum(drawn, last)
