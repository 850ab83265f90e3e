"""Search spaces by name: each a function that returns domains of Ray Tune for settings of the algorithm's `training`.

In a `tune.Tuner` of your own: `config.training(**learning_space())`, or several together by `search_space`.
Counts are choices, not ranges: a scheduler that changes a setting by a factor would round them to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from ray import tune
from ray.tune.search.sample import Categorical

from rllib_releds.errors import one_of

Space: TypeAlias = dict[str, Any]
"""Domains by setting."""


def learning_space() -> Space:
    """Step size, entropy bonus, and how often an epoch's rows are learnt from."""
    return {
        "lr": tune.loguniform(1e-4, 3e-3),
        "entropy_coeff": tune.loguniform(1e-4, 5e-2),
        "num_epochs": tune.choice([4, 6, 10, 15, 20]),
        "num_minibatches": tune.choice([1, 2, 4, 8]),
    }


def weighting_space() -> Space:
    """The weight of Eq. 30: its rule, and the factor on the normalised DTW distance."""
    return {
        "weight_rule": tune.choice(["annealed", "similarity", "paper", 0.2, 0.5, 0.8]),
        "dtw_scale": tune.loguniform(2.0, 100.0),
    }


def demonstrations_space() -> Space:
    """How often demonstrations are asked for (q), for how many subsets (m), and whether the best ones are kept."""
    return {
        "demonstration_interval": tune.choice([2, 5, 10, 20]),
        "num_subsets": tune.choice([1, 2, 3, 5]),
        "demonstration_gate": tune.choice([True, False]),
    }


def imitation_space() -> Space:
    """How demonstrated actions are judged (Eq. 28), and how far an update may follow them (Eq. 29)."""
    return {
        "expert_advantage": tune.choice(["agent_value", "paper", "behaviour_cloning"]),
        "clip_param": tune.uniform(0.1, 0.3),
        "lambda_": tune.choice([0.9, 0.95, 0.98, 1.0]),
    }


def values_space() -> Space:
    """Of QMIX: step size, how far returns look ahead, how fast target copies follow, and for how long it explores."""
    return {
        "lr": tune.loguniform(1e-4, 3e-3),
        "lambda_": tune.choice([0.8, 0.9, 0.95, 0.98]),
        "target_update_rate": tune.loguniform(2e-3, 1e-1),
        "num_updates": tune.choice([20, 40, 80]),
        "exploration_share": tune.choice([0.1, 0.2, 0.4]),
    }


SPACES: dict[str, Callable[[], Space]] = {
    "learning": learning_space,
    "weighting": weighting_space,
    "demonstrations": demonstrations_space,
    "imitation": imitation_space,
    "values": values_space,
}


def search_space(names: Iterable[str]) -> Space:
    """The spaces of these names together; raises RunError for an unknown one, with those that there are."""
    together: Space = {}
    for name in names:
        together |= SPACES[one_of("search space", name, SPACES)]()
    return together


def mutations(space: Space) -> Space:
    """The same as population based training wants it: choices as lists, in which it goes to a neighbour."""
    return {name: domain.categories if isinstance(domain, Categorical) else domain for name, domain in space.items()}
