"""Every method by name, as what it changes in RELED: the paper's method, its ablations, its predecessor, the baselines.

All have the same networks, Adam and learning rate (constant for QMIX and RELED-as-printed), seeds, origin-destination
pairs and background traffic. Reading this table needs neither Ray nor torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Method:
    """One row.

    Attributes:
        summary: in one line.
        algorithm: whose configuration it is.
        demonstrations: who demonstrates: "chosen" by the user, None for nobody, or a name for `make_callback`.
        callback: options of `make_callback`.
        training: settings of the algorithm's `training`.
    """

    summary: str
    algorithm: Literal["RELED", "QMIX"] = "RELED"
    demonstrations: str | None = "chosen"
    callback: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


_NOT_IN_THE_PAPERS: Mapping[str, Any] = {
    "demonstration_gate": False,
    "imitation_episodes": 0,
    "first_refinements": 0,
    "only_better_demonstrations": False,
}

# Both change the weight that a rule gives.
_ALWAYS_TAUGHT: Mapping[str, Any] = {"only_better_demonstrations": False, "rehearsal_epochs": 0}

METHODS: dict[str, Method] = {
    "RELED": Method("demonstrations refined by reward volatility and policy divergence, weight from the DTW distance"),
    "RELED-without-refinement": Method("the initial prompt again in every cycle", callback={"refine": False}),
    "RELED-without-imitation": Method(
        "the agents do not begin by imitating the first demonstrations", training={"imitation_episodes": 0}
    ),
    "RELED-alpha-0.2": Method(
        "fixed weight 0.2 of the expert's loss, for every agent", training={"weight_rule": 0.2, **_ALWAYS_TAUGHT}
    ),
    "RELED-alpha-0.5": Method(
        "fixed weight 0.5 of the expert's loss, for every agent", training={"weight_rule": 0.5, **_ALWAYS_TAUGHT}
    ),
    "RELED-similarity": Method("weight exp(-D), not annealed", training={"weight_rule": "similarity"}),
    "RELED-printed-weight": Method("weight exp(-(k/K) D)", training={"weight_rule": "paper"}),
    "RELED-agent-value": Method(
        "demonstrated actions judged by R^e - V^a in place of cloned", training={"expert_advantage": "agent_value"}
    ),
    "RELED-expert-value": Method(
        "demonstrated actions judged by R^e - V^e, as printed", training={"expert_advantage": "paper"}
    ),
    "RELED-all-demonstrations": Method(
        "demonstrations teach also agents that earn more than they do", training={"only_better_demonstrations": False}
    ),
    "RELED-logit": Method("demonstrations drawn among routes by their cost, no language model", demonstrations="logit"),
    "RELED-without-interfaces": Method(
        "the model writes routes node by node, not programs", callback={"interfaces": False}
    ),
    "RELED-as-printed": Method(
        "the paper's equations as printed; each revision replaces the one before (its input: --set encoder=raw)",
        training={
            "reward_scale": 1.0,
            "vf_loss_coeff": 1.0,
            "lr_annealing": False,
            "expert_advantage": "paper",
            "standardise_advantages": False,
            "surrogate": "printed",
            "weight_rule": "paper",
            "dtw_unit": "metres",
            "lambda_": 1.0,
            **_NOT_IN_THE_PAPERS,
        },
    ),
    "LEED": Method(
        "the predecessor: feedback of validity and reward alone, one subset",
        callback={"stationarity": False},
        training={"num_subsets": 1, **_NOT_IN_THE_PAPERS},
    ),
    "IPPO": Method("independent PPO", demonstrations=None),
    "MAPPO": Method("PPO with critics that see the whole team", demonstrations=None, training={"central_critic": True}),
    "QMIX": Method("a monotone mixture of the agents' action values", algorithm="QMIX", demonstrations=None),
}
