"""`RELEDConfig`: every setting of the algorithm, with RLlib's own names for what RLlib has."""

from __future__ import annotations

from typing import Any, ClassVar, get_args

from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.typing import RLModuleSpecType

from rllib_releds.algorithm.connectors import TrainingTargets
from rllib_releds.algorithm.learner import RELEDLearner
from rllib_releds.algorithm.module import RoutingModule
from rllib_releds.algorithm.routing_config import RoutingConfig
from rllib_releds.demonstrations.callbacks import absolute_demonstrations
from rllib_releds.demonstrations.protocol import DemonstrationCallback
from rllib_releds.literals import DTWUnit, ExpertAdvantage, Surrogate
from rllib_releds.weighting import DEFAULT_DTW_SCALE, WeightRule, check_weight_rule


class RELEDConfig(RoutingConfig):
    """Settings of RELED, beside those of `RoutingConfig`. With `demonstrations=None` it is independent PPO (IPPO).

    | setting | default | meaning |
    |---|---|---|
    | demonstrations | None | a `DemonstrationCallback`, or a name for `make_callback` such as "offline/planner" |
    | asynchronous | False | ask for demonstrations beside training: each is used as soon as it is there |
    | demonstration_gate | True | a worse revision does not replace an agent's best demonstration |
    | demonstration_interval | 10 | q: epochs between two demonstration cycles |
    | first_refinements | 16 | further cycles before anything is imitated, if the demonstrations can be refined |
    | num_subsets | 2 | m: subsets per cycle |
    | weight_rule | "annealed" | alpha of Eq. 30; see `agent_weight` |
    | dtw_scale | 25.0 | factor on the normalised DTW distance |
    | dtw_unit | "diagonal" | "metres": the DTW distance in metres in its place, without the factor |
    | expert_advantage | "behaviour_cloning" | how demonstrated actions are judged; see `TrainingTargets` |
    | standardise_advantages | True | per agent and epoch; see `TrainingTargets` |
    | surrogate | "ppo" | "printed": min(w, clip(w)) A; see `clipped_surrogate` |
    | only_better_demonstrations | True | a demonstration teaches only who earns less, or rehearses; see `Teaching` |
    | imitation_episodes | 16 | episodes with the first demonstrations that are imitated first; 0 for none |
    | imitation_passes | 80 | passes over their rows |
    | rehearsal_epochs | 20 | epochs in which these episodes stay part of the demonstrations, with a falling weight |
    | imitation_noise | 0.2 | share of decisions in them that are drawn, not demonstrated; see `PerturbedDemonstrator` |
    | central_critic | False | True: V^a sees the state of the whole team (MAPPO) |
    | lambda_ | 0.95 | of the advantage estimate; 1.0 is Eq. 26 as printed |
    | clip_param, entropy_coeff, vf_loss_coeff | 0.2, 0.001, 0.5 | as in RLlib's PPO |
    | num_epochs, num_minibatches | 10, 4 | passes over every agent's rows per epoch, and parts of each |
    | grad_clip | 0.5 | largest gradient norm, per agent and network |
    """

    read_of_rllib: ClassVar[tuple[str, ...]] = (*RoutingConfig.read_of_rllib, "num_epochs")
    of_demonstrations: ClassVar[tuple[str, ...]] = (
        *("asynchronous", "demonstration_gate", "demonstration_interval", "first_refinements", "num_subsets"),
        *("weight_rule", "dtw_scale", "dtw_unit", "expert_advantage", "only_better_demonstrations"),
        *("imitation_episodes", "imitation_passes", "imitation_noise", "rehearsal_epochs"),
    )
    at_least_one: ClassVar[tuple[str, ...]] = (
        *RoutingConfig.at_least_one,
        "demonstration_interval",
        "num_subsets",
        "num_epochs",
        "num_minibatches",
        "imitation_passes",
    )

    def __init__(self, algo_class: type | None = None) -> None:
        if algo_class is None:
            # reled.py needs this module.
            from rllib_releds.algorithm.reled import RELED

            algo_class = RELED
        self.demonstrations: str | DemonstrationCallback | None = None
        self.asynchronous = False
        self.demonstration_gate = True
        self.demonstration_interval = 10
        self.first_refinements = 16
        self.num_subsets = 2
        self.weight_rule: WeightRule = "annealed"
        self.dtw_scale = DEFAULT_DTW_SCALE
        self.dtw_unit: DTWUnit = "diagonal"
        self.expert_advantage: ExpertAdvantage = "behaviour_cloning"
        self.standardise_advantages = True
        self.surrogate: Surrogate = "ppo"
        self.only_better_demonstrations = True
        self.imitation_episodes = 16
        self.imitation_passes = 80
        self.imitation_noise = 0.2
        self.rehearsal_epochs = 20
        self.central_critic = False
        self.lambda_ = 0.95
        self.clip_param = 0.2
        self.entropy_coeff = 0.001
        self.vf_loss_coeff = 0.5
        self.num_minibatches = 4
        super().__init__(algo_class=algo_class)
        self.num_epochs = 10
        self.grad_clip = 0.5

    def training(
        self,
        *,
        demonstrations: str | DemonstrationCallback | None = NotProvided,
        asynchronous: bool = NotProvided,
        demonstration_gate: bool = NotProvided,
        demonstration_interval: int = NotProvided,
        first_refinements: int = NotProvided,
        num_subsets: int = NotProvided,
        weight_rule: WeightRule = NotProvided,
        dtw_scale: float = NotProvided,
        dtw_unit: DTWUnit = NotProvided,
        expert_advantage: ExpertAdvantage = NotProvided,
        standardise_advantages: bool = NotProvided,
        surrogate: Surrogate = NotProvided,
        only_better_demonstrations: bool = NotProvided,
        imitation_episodes: int = NotProvided,
        imitation_passes: int = NotProvided,
        imitation_noise: float = NotProvided,
        rehearsal_epochs: int = NotProvided,
        central_critic: bool = NotProvided,
        lambda_: float = NotProvided,
        clip_param: float = NotProvided,
        entropy_coeff: float = NotProvided,
        vf_loss_coeff: float = NotProvided,
        num_minibatches: int = NotProvided,
        **kwargs: Any,
    ) -> RELEDConfig:
        """Set what the tables list; everything else goes to RLlib's `training` (lr, gamma, num_epochs ...)."""
        super().training(**kwargs)
        # Of this folder: a trial of Tune has another.
        demonstrations = absolute_demonstrations(demonstrations)
        self._set_given(locals())
        return self

    def get_default_learner_class(self) -> type:
        return RELEDLearner

    def get_default_rl_module_spec(self) -> RLModuleSpecType:
        return RLModuleSpec(module_class=RoutingModule)

    @property
    def records_joint_steps(self) -> bool:
        return self.central_critic

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        return {**super()._model_config_auto_includes, "central_critic": self.central_critic}

    def build_learner_connector(self, *args: Any, **kwargs: Any) -> Any:
        pipeline = super().build_learner_connector(*args, **kwargs)
        pipeline.append(
            TrainingTargets(
                gamma=self.gamma,
                lambda_=self.lambda_,
                reward_scale=self.reward_scale,
                expert_advantage=self.expert_advantage,
                num_minibatches=self.num_minibatches,
                standardise_advantages=self.standardise_advantages,
            )
        )
        return pipeline

    def validate(self) -> None:
        """Refuse what cannot work, before anything starts; see `RoutingConfig.validate`."""
        super().validate()
        if not 0.0 <= self.lambda_ <= 1.0:
            self._refuse("lambda_", "be in [0, 1]")
        for name in ("imitation_episodes", "first_refinements", "rehearsal_epochs"):
            if getattr(self, name) < 0:
                self._refuse(name, "be 0 or more")
        for name in ("clip_param", "dtw_scale"):
            if getattr(self, name) <= 0.0:
                self._refuse(name, "be positive")
        for name in ("entropy_coeff", "vf_loss_coeff"):
            if getattr(self, name) < 0.0:
                self._refuse(name, "be 0 or more")
        if self.num_gpus_per_learner:
            self._refuse("num_gpus_per_learner", "be 0: advantages are computed on the CPU, where the networks must be")
        if not 0.0 <= self.imitation_noise <= 1.0:
            self._refuse("imitation_noise", "be in [0, 1]")
        if self.demonstrations is not None and self.gamma >= 1.0:
            self._refuse("gamma", "be below 1 with demonstrations: the bound of Theorem 1 divides by 1 - gamma")
        for name, kind in (("expert_advantage", ExpertAdvantage), ("surrogate", Surrogate), ("dtw_unit", DTWUnit)):
            if getattr(self, name) not in get_args(kind):
                self._refuse(name, f"be one of {', '.join(get_args(kind))}")
        check_weight_rule(self.weight_rule)
