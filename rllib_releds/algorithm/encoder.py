"""From the environment's observation (junction ids and scores) to what the networks read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from rllib_releds.literals import EncoderName
from sumo_marl_env import RoadNetwork

FAR_M = 1000.0
"""Unit of distances across the network."""
NEAR_M = 200.0
"""Unit of distances between neighbouring junctions."""
LONG_S = 30.0
"""Unit of the time to drive an edge."""


def road_tables(network: RoadNetwork) -> dict[str, np.ndarray]:
    """The lookup tables of the encoder, as plain arrays that a model configuration can carry.

    Returns:
        junction_xy: (J, 2) float32, metres from the centre of the map.
        slot_ends: (J, m_out) int64, end junction of each slot, -1 in absent ones.
        slot_free_flow_s: (J, m_out) float32, free-flow time of each slot's edge, 0 in absent ones.
        edge_ends: (E,) int64, the junction at the end of each edge.
    """
    middle = (network.junction_xy.min(axis=0) + network.junction_xy.max(axis=0)) / 2
    # An absent slot is edge -1: it gets the 0 at the end.
    free_flow_s = np.append(network.free_flow_time_s, 0.0)[network.slot_edges]
    return {
        "junction_xy": (network.junction_xy - middle).astype(np.float32),
        "slot_ends": network.slot_ends.astype(np.int64),
        "slot_free_flow_s": free_flow_s.astype(np.float32),
        "edge_ends": network.edge_to.astype(np.int64),
    }


@dataclass(frozen=True)
class Encoded:
    """Encoded observations, any leading shape.

    Attributes:
        features: (..., F) float32.
        junctions: (...) int64, the approached junction.
    """

    features: Tensor
    junctions: Tensor


class RoutingEncoder(nn.Module):
    """Expands observations; without parameters, so it can run once per epoch for all passes.

    | encoder | junction id | road features |
    |---|---|---|
    | combined | one-hot | yes |
    | features | no | yes |
    | one_hot | one-hot | no |
    | raw | the ids of the observation as scaled numbers | no |

    All of them see each slot's score (0 in absent ones) and whether it may be taken. Road features are the coordinates
    of the approached junction and of the destination, their difference and distance; per slot whether it exists, the
    direction in which it leads, how much nearer to the destination, how far from there, and its free-flow time. An
    agent's destination never changes, so its one-hot code would be a constant input and is left out.

    Args:
        name: one of the four.
        tables: what `road_tables` returns.
    """

    def __init__(self, name: EncoderName, tables: dict[str, Any]) -> None:
        super().__init__()
        self.junction_xy: Tensor
        self.slot_ends: Tensor
        self.slot_free_flow_s: Tensor
        if name not in get_args(EncoderName):
            raise ValueError(f"unknown encoder {name!r}; known: {', '.join(get_args(EncoderName))}")
        self.name = name
        for key in ("junction_xy", "slot_ends", "slot_free_flow_s"):
            # Not persistent: they belong to the map, not to what was learnt, and need not travel with the weights.
            self.register_buffer(key, torch.as_tensor(tables[key]), persistent=False)
        self._map_junctions, self.num_slots = tables["slot_ends"].shape

    @property
    def num_junctions(self) -> int:
        """Length of the one-hot code that the networks shall form; 0 for none."""
        return self._map_junctions if self.name in ("combined", "one_hot") else 0

    @property
    def num_features(self) -> int:
        """F."""
        fixed = {"raw": 2 + self.num_slots, "one_hot": 0}.get(self.name, 7 + 6 * self.num_slots)
        return fixed + 2 * self.num_slots

    def forward(self, observations: Tensor, action_masks: Tensor) -> Encoded:
        """(..., 2 m_out + 2) observations and (..., m_out) masks -> encoded."""
        junctions = observations[..., 0].long()
        fixed = self.fixed_features(junctions, observations[..., 1].long())
        scores = observations[..., 2::2].clamp(min=0.0)
        return Encoded(torch.cat([fixed, scores, action_masks.to(scores.dtype)], dim=-1), junctions)

    def fixed_features(self, junctions: Tensor, destinations: Tensor) -> Tensor:
        """The features that traffic does not change: (...) and (...) int64 -> (..., F - 2 m_out)."""
        if self.name == "one_hot":
            return self.junction_xy.new_empty((*junctions.shape, 0))
        ends = self.slot_ends[junctions]
        if self.name == "raw":
            ids = torch.cat([junctions.unsqueeze(-1), destinations.unsqueeze(-1), ends], dim=-1)
            return ids / self._map_junctions
        here, goal = self.junction_xy[junctions], self.junction_xy[destinations]
        exists = (ends >= 0).to(here.dtype)
        end_xy = self.junction_xy[ends.clamp(min=0)]
        distance = _norm(goal - here).unsqueeze(-1)
        distance_from_end = _norm(goal.unsqueeze(-2) - end_xy)
        direction = (end_xy - here.unsqueeze(-2)) / NEAR_M
        whole = [here / FAR_M, goal / FAR_M, (goal - here) / FAR_M, distance / FAR_M]
        slots = [
            exists,
            direction[..., 0],
            direction[..., 1],
            (distance - distance_from_end) / NEAR_M,
            distance_from_end / FAR_M,
            self.slot_free_flow_s[junctions] / LONG_S,
        ]
        return torch.cat([*whole, *(feature * exists for feature in slots)], dim=-1)


class StateEncoder(nn.Module):
    """Expands `RoutingEnv.state()` for central critics; without parameters.

    Per agent the coordinates of the approached junction, the way from there to its destination, the distance to go and
    whether it is under way (all 0 once it has left); then the score of every edge.

    Args:
        num_agents: n.
        tables: what `road_tables` returns.
    """

    def __init__(self, num_agents: int, tables: dict[str, Any]) -> None:
        super().__init__()
        self.junction_xy: Tensor
        self.edge_ends: Tensor
        for key in ("junction_xy", "edge_ends"):
            self.register_buffer(key, torch.as_tensor(tables[key]), persistent=False)
        self.num_agents = num_agents
        self.num_features = 6 * num_agents + len(self.edge_ends)

    def forward(self, states: Tensor) -> Tensor:
        """(..., 4 n + E) states -> (..., 6 n + E)."""
        agents, scores = states[..., : 4 * self.num_agents], states[..., 4 * self.num_agents :]
        edges, destinations, to_go, is_live = agents.unflatten(-1, (self.num_agents, 4)).unbind(-1)
        here, goal = self.junction_xy[self.edge_ends[edges.long()]], self.junction_xy[destinations.long()]
        rest = torch.stack([to_go, is_live], dim=-1)
        per_agent = torch.cat([here / FAR_M, (goal - here) / FAR_M, rest], dim=-1) * is_live.unsqueeze(-1)
        return torch.cat([per_agent.flatten(-2), scores], dim=-1)


def _norm(vectors: Tensor) -> Tensor:
    return vectors.square().sum(-1).sqrt()
