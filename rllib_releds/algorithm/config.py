"""`RELEDConfig`: every setting of the algorithm, with RLlib's own names for what RLlib has."""

from __future__ import annotations

import inspect
import pickle
from functools import lru_cache
from typing import Any, get_args

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.typing import RLModuleSpecType

from rllib_releds import keys
from rllib_releds.algorithm.connectors import TrainingTargets
from rllib_releds.algorithm.encoder import road_tables
from rllib_releds.algorithm.env_runner import RoutingEnvRunner
from rllib_releds.algorithm.learner import RELEDLearner
from rllib_releds.algorithm.module import RoutingModule
from rllib_releds.demonstrations.protocol import DemonstrationCallback
from rllib_releds.env_adapter import RoutingMultiAgentEnv
from rllib_releds.literals import EncoderName, ExpertAdvantage
from rllib_releds.weighting import DEFAULT_DTW_SCALE, WeightRule, check_weight_rule
from sumo_marl_env import Scenario, make_scenario


class RELEDConfig(AlgorithmConfig):
    """Settings of RELED. With `demonstrations=None` it is independent PPO (IPPO).

    | setting | default | meaning |
    |---|---|---|
    | demonstrations | None | a `DemonstrationCallback`, or a name for `make_callback` such as "offline/planner" |
    | asynchronous | False | ask for demonstrations beside training: each is used as soon as it is there |
    | demonstration_gate | True | a worse revision does not replace an agent's best demonstration |
    | num_training_epochs | 500 | K of the paper: the horizon of the weight schedule |
    | demonstration_interval | 10 | q: epochs between two demonstration cycles |
    | num_subsets | 2 | m: subsets per cycle |
    | weight_rule | "annealed" | alpha of Eq. 30; see `agent_weight` |
    | dtw_scale | 5.0 | factor on the normalised DTW distance |
    | expert_advantage | "agent_value" | how demonstrated actions are judged; see `TrainingTargets` |
    | encoder | "combined" | what the networks see; see `RoutingEncoder` |
    | hidden_size | 128 | units in each of the two hidden layers |
    | lambda_ | 0.95 | of the advantage estimate; 1.0 is Eq. 26 as printed |
    | clip_param, entropy_coeff, vf_loss_coeff | 0.2, 0.01, 0.5 | as in RLlib's PPO |
    | num_epochs, num_minibatches | 10, 4 | passes over every agent's rows per epoch, and parts of each |
    | grad_clip | 0.5 | largest gradient norm, per agent and network |
    | reward_scale | 0.01 | factor on rewards, so that values are of order 1 |
    | learner_threads | 1 | torch threads of the update; more help with 50 agents or more on idle cores |
    | train_batch_size_per_learner | 1000 | interaction steps per epoch, rounded up to whole episodes |

    The environment is `RoutingMultiAgentEnv`; `env_config` holds the arguments of `sumo_marl_env.parallel_env`.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        if algo_class is None:
            # reled.py needs this module.
            from rllib_releds.algorithm.reled import RELED

            algo_class = RELED
        self.demonstrations: str | DemonstrationCallback | None = None
        self.asynchronous = False
        self.demonstration_gate = True
        self.num_training_epochs = 500
        self.demonstration_interval = 10
        self.num_subsets = 2
        self.weight_rule: WeightRule = "annealed"
        self.dtw_scale = DEFAULT_DTW_SCALE
        self.expert_advantage: ExpertAdvantage = "agent_value"
        self.encoder: EncoderName = "combined"
        self.hidden_size = 128
        self.lambda_ = 0.95
        self.clip_param = 0.2
        self.entropy_coeff = 0.01
        self.vf_loss_coeff = 0.5
        self.num_minibatches = 4
        self.reward_scale = 0.01
        self.learner_threads = 1
        super().__init__(algo_class=algo_class)
        self.env = RoutingMultiAgentEnv
        self.env_runner_cls = RoutingEnvRunner
        self.num_env_runners = 0
        self.batch_mode = "complete_episodes"
        self.count_steps_by = "agent_steps"
        self.policies = {keys.MODULE_ID}
        self.policy_mapping_fn = _one_module
        self.seed = 0
        self.lr = 3e-4
        self.gamma = 0.99
        self.num_epochs = 10
        self.grad_clip = 0.5
        self.train_batch_size_per_learner = 1000
        # The module reads rollouts through `TrainingTargets` alone.
        self.add_default_connectors_to_learner_pipeline = False
        # Neither side has connectors with a state to merge.
        self.merge_env_runner_states = False
        self.broadcast_env_runner_states = False

    def training(
        self,
        *,
        demonstrations: str | DemonstrationCallback | None = NotProvided,
        asynchronous: bool = NotProvided,
        demonstration_gate: bool = NotProvided,
        num_training_epochs: int = NotProvided,
        demonstration_interval: int = NotProvided,
        num_subsets: int = NotProvided,
        weight_rule: WeightRule = NotProvided,
        dtw_scale: float = NotProvided,
        expert_advantage: ExpertAdvantage = NotProvided,
        encoder: EncoderName = NotProvided,
        hidden_size: int = NotProvided,
        lambda_: float = NotProvided,
        clip_param: float = NotProvided,
        entropy_coeff: float = NotProvided,
        vf_loss_coeff: float = NotProvided,
        num_minibatches: int = NotProvided,
        reward_scale: float = NotProvided,
        learner_threads: int = NotProvided,
        **kwargs: Any,
    ) -> RELEDConfig:
        """Set what the table above lists; everything else goes to RLlib's `training` (lr, gamma, num_epochs ...)."""
        own = {name: value for name, value in locals().items() if name not in ("self", "kwargs", "__class__")}
        super().training(**kwargs)
        for name, value in own.items():
            if value is not NotProvided:
                setattr(self, name, value)
        return self

    @property
    def scenario(self) -> Scenario:
        """Network, trips, traffic and horizon of `env_config`.

        Raises:
            RoutingError: if they cannot be built.
        """
        known = inspect.signature(make_scenario).parameters
        return _scenario(pickle.dumps({name: value for name, value in self.env_config.items() if name in known}))

    def get_default_learner_class(self) -> type:
        return RELEDLearner

    def get_default_rl_module_spec(self) -> RLModuleSpecType:
        return RLModuleSpec(module_class=RoutingModule)

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        scenario = self.scenario
        return {
            "num_agents": len(scenario.trips),
            "encoder": self.encoder,
            "tables": road_tables(scenario.network),
            "hidden_size": self.hidden_size,
            "seed": self.seed or 0,
        }

    def build_learner_connector(self, *args: Any, **kwargs: Any) -> Any:
        pipeline = super().build_learner_connector(*args, **kwargs)
        pipeline.append(
            TrainingTargets(
                gamma=self.gamma,
                lambda_=self.lambda_,
                reward_scale=self.reward_scale,
                expert_advantage=self.expert_advantage,
                num_minibatches=self.num_minibatches,
            )
        )
        return pipeline

    def validate(self) -> None:
        """Refuse what cannot work, before anything starts.

        Raises:
            ValueError: naming the setting and what it may be.
            RoutingError: if `env_config` describes no scenario.
        """
        super().validate()
        if self.num_learners:
            self._refuse("num_learners", "be 0: one learner trains all agents in one module")
        if self.num_envs_per_env_runner != 1:
            self._refuse("num_envs_per_env_runner", "be 1: a process holds one SUMO; use more env runners")
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                self._refuse(name, "be 1 or more")
        for name in ("gamma", "lambda_"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                self._refuse(name, "be in [0, 1]")
        if self.demonstrations is not None and self.gamma >= 1.0:
            self._refuse("gamma", "be below 1 with demonstrations: the bound of Theorem 1 divides by 1 - gamma")
        for name, choices in (("encoder", EncoderName), ("expert_advantage", ExpertAdvantage)):
            if getattr(self, name) not in get_args(choices):
                self._refuse(name, f"be one of {', '.join(get_args(choices))}")
        check_weight_rule(self.weight_rule)
        if self.env_config.get("observation", "paper") != "paper":
            raise ValueError(
                "env_config: observation must be 'paper', whose junction ids the encoder expands; set encoder"
            )
        self.scenario  # noqa: B018 (builds it: a wrong map or demand shows here, not in a worker)

    def _refuse(self, name: str, remedy: str) -> None:
        raise ValueError(f"{name}={getattr(self, name)!r}: it must {remedy}")


_AT_LEAST_ONE = (
    "num_training_epochs",
    "demonstration_interval",
    "num_subsets",
    "hidden_size",
    "num_epochs",
    "num_minibatches",
    "learner_threads",
    "train_batch_size_per_learner",
)


def _one_module(agent_id: str, episode: Any, **kwargs: Any) -> str:
    return keys.MODULE_ID


@lru_cache(maxsize=2)
def _scenario(arguments: bytes) -> Scenario:
    """By value, because RLlib copies configurations all the time and reading a map takes a while."""
    return make_scenario(**pickle.loads(arguments))
