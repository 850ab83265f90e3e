"""How far the agent's episodes are from the demonstrations, and how much weight that gives to its own loss (Eq. 30).

The only module that imports dtaidistance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rllib_releds.demonstrations.domain import Domain
from sumo_marl_env import AgentID, NodeID

DEFAULT_DTW_SCALE = 25.0

WeightRule = str | float | Callable[[float, int, int], float]
"""A name of `WEIGHT_RULES`, a fixed weight of the expert loss in [0, 1], or what returns alpha, the weight of the
agent's own loss: `rule(distance, epoch, num_training_epochs)`."""

WEIGHT_RULES = ("paper", "annealed", "similarity")


@dataclass(frozen=True, slots=True)
class PathDistance:
    """How far two sequences of junctions are apart.

    Attributes:
        raw_m: the DTW distance in metres, the root of the summed squares along the warping path: Figure 7.
        normalised: mean distance along the warping path over the network's diagonal, times `dtw_scale`: Eq. 30.
    """

    raw_m: float
    normalised: float


def path_distance(
    agent_xy: NDArray[np.float64],
    expert_xy: NDArray[np.float64],
    diagonal_m: float,
    dtw_scale: float = DEFAULT_DTW_SCALE,
) -> PathDistance:
    """Dynamic time warping between two paths.

    Args:
        agent_xy: (n, d) metres, n >= 1; d is 2 for roads.
        expert_xy: (p, d) metres, p >= 1.
        diagonal_m: diagonal of the network's bounding box.
        dtw_scale: factor on the normalised distance.

    Raises:
        ValueError: for an empty path, another shape than (n, d), or a coordinate that is not finite.
    """
    for name, path in (("agent", agent_xy), ("expert", expert_xy)):
        if path.ndim != 2 or path.shape[1] != expert_xy.shape[-1] or not path.size:
            raise ValueError(f"the {name} path must have shape (n, d) with n >= 1 and one d for both, got {path.shape}")
        if not np.isfinite(path).all():
            raise ValueError(f"the {name} path has a coordinate that is not finite")
    if not diagonal_m > 0:
        raise ValueError(f"the network's diagonal must be positive, got {diagonal_m}")
    from dtaidistance.dtw import warping_path_fast

    # Its code in C refuses paths of one dimension; a column of zeros makes them two and changes no distance.
    paths = (np.column_stack([path, np.zeros(len(path))]) for path in (agent_xy, expert_xy))
    steps, raw_m = warping_path_fast(*paths, use_ndim=True, include_distance=True)
    rows = np.array(steps)
    apart_m = np.linalg.norm(agent_xy[rows[:, 0]] - expert_xy[rows[:, 1]], axis=1)
    return PathDistance(float(raw_m), float(apart_m.sum() / (len(rows) * diagonal_m) * dtw_scale))


def mean_path_distance(
    domain: Domain,
    network: Any,
    agent_paths: Sequence[Sequence[NodeID]],
    expert_path: Sequence[NodeID],
    dtw_scale: float = DEFAULT_DTW_SCALE,
) -> PathDistance | None:
    """D_DTW of one agent: the mean over its episodes of the epoch.

    Args:
        domain: gives coordinates and extent.
        network: its world.
        agent_paths: places (junctions) passed in each agent episode; empty ones are left out.
        expert_path: places passed in the expert episode.
        dtw_scale: factor on the normalised distance.

    Returns:
        None if there is nothing to compare.
    """
    if not len(expert_path):
        return None
    expert_xy = domain.coordinates(network, expert_path)
    distances = [
        path_distance(domain.coordinates(network, path), expert_xy, domain.extent(network), dtw_scale)
        for path in agent_paths
        if len(path)
    ]
    if not distances:
        return None
    return PathDistance(
        float(np.mean([distance.raw_m for distance in distances])),
        float(np.mean([distance.normalised for distance in distances])),
    )


def mean_distance_m(
    domain: Domain, network: Any, before: Mapping[AgentID, Sequence[NodeID]], after: Mapping[AgentID, Sequence[NodeID]]
) -> float | None:
    """DTW distance between the paths of each agent, metres, mean over agents; None if no agent has two."""
    found = [mean_path_distance(domain, network, [path], after.get(agent, ())) for agent, path in before.items()]
    distances = [one.raw_m for one in found if one is not None]
    return float(np.mean(distances)) if distances else None


def agent_weight(rule: WeightRule, distance: float | None, epoch: int, num_training_epochs: int) -> float:
    """Alpha of Eq. 30, in [0, 1]: the weight of the agent loss; the expert loss gets 1 - alpha.

    Args:
        rule: "paper" exp(-(k/K) D), "annealed" exp(-(1 - k/K) D), "similarity" exp(-D), a fixed weight of the EXPERT
            loss (as the paper's ablations count it), or a callable `rule(distance, epoch, num_training_epochs)`.
        distance: D_DTW, normalised or in metres; None for an agent without a demonstration, whose weight is 1 under
            every rule.
        epoch: k, from 0.
        num_training_epochs: K.

    Raises:
        ValueError: for an unknown rule, a fixed weight outside [0, 1], or a callable's result outside it.
    """
    check_weight_rule(rule)
    if distance is None:
        return 1.0
    progress = min(epoch / max(num_training_epochs, 1), 1.0)
    if callable(rule):
        weight = float(rule(distance, epoch, num_training_epochs))
        if not 0.0 <= weight <= 1.0:
            raise ValueError(f"the weight rule returned {weight}; it must be in [0, 1]")
        return weight
    if not isinstance(rule, str):
        return 1.0 - float(rule)
    exponent = {"paper": progress, "annealed": 1.0 - progress, "similarity": 1.0}[rule]
    return float(np.exp(-exponent * distance))


def check_weight_rule(rule: WeightRule) -> None:
    """Refuse what `agent_weight` cannot use.

    Raises:
        ValueError: naming the rule and the choices.
    """
    if callable(rule) or (isinstance(rule, str) and rule in WEIGHT_RULES):
        return
    if isinstance(rule, Real) and not isinstance(rule, bool) and 0.0 <= rule <= 1.0:
        return
    raise ValueError(
        f"unknown weight rule {rule!r}: choose one of {', '.join(WEIGHT_RULES)}, "
        "a fixed expert weight in [0, 1], or a callable"
    )
