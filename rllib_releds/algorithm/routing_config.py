"""Settings that every routing algorithm here shares: environment, env runners, encoder, harness."""

from __future__ import annotations

import inspect
import math
import pickle
from collections.abc import Mapping
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, ClassVar, get_args

import gymnasium
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided

from rllib_releds import keys
from rllib_releds.algorithm.encoder import road_tables
from rllib_releds.algorithm.env_runner import RoutingEnvRunner
from rllib_releds.env_adapter import RoutingMultiAgentEnv
from rllib_releds.files import absolute_file
from rllib_releds.literals import MAX_SEED, EncoderName
from sumo_marl_env import Scenario, make_scenario

_MAY_BE_FILES = ("scenario", "network", "demand")
"""Settings of `env_config`."""


class RoutingConfig(AlgorithmConfig):
    """What RELED and the baselines have in common.

    | setting | default | meaning |
    |---|---|---|
    | num_training_epochs | 500 | K of the paper: the horizon of every schedule |
    | encoder | "combined" | what the networks see; see `RoutingEncoder` |
    | hidden_size | 128 | units in each of the two hidden layers |
    | reward_scale | 0.01 | factor on rewards, so that values are of order 1 |
    | learner_threads | 1 | torch threads of the update; more help with 50 agents or more on idle cores |
    | train_batch_size_per_learner | 1000 | interaction steps per epoch, rounded up to whole episodes |
    | lr, gamma | 3e-4, 0.99 | of the paper |
    | lr_annealing | True | the learning rate falls linearly to 0 at epoch K |

    The environment is `RoutingMultiAgentEnv`; `env_config` holds the arguments of `sumo_marl_env.parallel_env`. Of
    RLlib's callbacks those of single episodes and samples are not called: see `RoutingEnvRunner`.
    """

    at_least_one: ClassVar[tuple[str, ...]] = (
        "num_training_epochs",
        "hidden_size",
        "learner_threads",
        "train_batch_size_per_learner",
    )
    """Settings that count something."""

    of_demonstrations: ClassVar[tuple[str, ...]] = ()
    """Settings that mean nothing if nobody demonstrates."""

    may_be_none: ClassVar[tuple[str, ...]] = ("grad_clip", "seed")
    """Numbers of which None means without."""

    read_of_rllib: ClassVar[tuple[str, ...]] = ("lr", "gamma", "grad_clip", "train_batch_size_per_learner")
    """Of RLlib's own training settings, those that mean something here; the others are taken and do nothing."""

    def __init__(self, algo_class: type) -> None:
        self.num_training_epochs = 500
        self.encoder: EncoderName = "combined"
        self.hidden_size = 128
        self.reward_scale = 0.01
        self.learner_threads = 1
        self.lr_annealing = True
        super().__init__(algo_class=algo_class)
        self.env = RoutingMultiAgentEnv
        self.env_runner_cls = RoutingEnvRunner
        self.num_env_runners = 0
        # For one whole episode: RLlib's minute is little for long ones on a busy machine, and dead runners are noticed
        # without it.
        self.sample_timeout_s = 1800.0
        self.batch_mode = "complete_episodes"
        self.count_steps_by = "agent_steps"
        self.policies = {keys.MODULE_ID}
        self.policy_mapping_fn = _one_module
        self.seed = 0
        self.lr = 3e-4
        self.gamma = 0.99
        self.train_batch_size_per_learner = 1000
        # The module reads rollouts through connectors of its own, or none.
        self.add_default_connectors_to_learner_pipeline = False
        # RLlib would drive the first step of an episode, in which all agents may arrive.
        self.disable_env_checking = True
        # Neither side has connectors with a state to merge.
        self.merge_env_runner_states = False
        self.broadcast_env_runner_states = False

    def environment(
        self, env: Any = NotProvided, *, env_config: Mapping[str, Any] = NotProvided, **kwargs: Any
    ) -> RoutingConfig:
        """RLlib's, with the files in `env_config` by their absolute paths: workers and restored runs are elsewhere."""
        if env_config is not NotProvided:
            files = {name: absolute_file(env_config[name]) for name in _MAY_BE_FILES if name in env_config}
            env_config = {**env_config, **files}
        super().environment(env, env_config=env_config, **kwargs)
        return self

    def training(
        self,
        *,
        num_training_epochs: int = NotProvided,
        encoder: EncoderName = NotProvided,
        hidden_size: int = NotProvided,
        reward_scale: float = NotProvided,
        learner_threads: int = NotProvided,
        lr_annealing: bool = NotProvided,
        **kwargs: Any,
    ) -> RoutingConfig:
        """Set what the table lists; everything else goes to RLlib's `training` (lr, gamma, grad_clip ...)."""
        super().training(**kwargs)
        self._set_given(locals())
        return self

    @property
    def records_joint_steps(self) -> bool:
        """Whether env runners record what the whole team saw and did."""
        return False

    @property
    def scenario(self) -> Scenario:
        """Network, trips, traffic and horizon of `env_config`.

        Raises:
            RoutingError: if they cannot be built.
        """
        known = inspect.signature(make_scenario).parameters
        return _scenario(pickle.dumps({name: value for name, value in self.env_config.items() if name in known}))

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

    def validate(self) -> None:
        """Refuse what cannot work, before anything starts.

        Raises:
            ValueError: naming the setting and what it may be.
            RoutingError: if `env_config` describes no scenario.
        """
        self._check_kinds()
        super().validate()
        if not (self.enable_rl_module_and_learner and self.enable_env_runner_and_connector_v2):
            raise ValueError(
                "api_stack: RLlib's new API stack must stay enabled: there is nothing here for the old one"
            )
        if set(self.policies) != {keys.MODULE_ID}:
            self._refuse("policies", f"be {{{keys.MODULE_ID!r}}}: one module holds the networks of all agents")
        if self.num_learners:
            self._refuse("num_learners", "be 0: one learner trains all agents in one module")
        if self.num_gpus_per_env_runner:
            self._refuse("num_gpus_per_env_runner", "be 0: policies are sampled on the CPU, one decision at a time")
        if not self.explore and not self.in_evaluation:
            self._refuse("explore", "be True: agents learn from actions that they draw; set it in evaluation_config")
        if self.num_envs_per_env_runner != 1:
            self._refuse("num_envs_per_env_runner", "be 1: a process holds one SUMO; use more env runners")
        if not self.create_local_env_runner:
            self._refuse("create_local_env_runner", "be True: the local one counts what all have sampled")
        if isinstance(self.env, type):
            is_routing = issubclass(self.env, RoutingMultiAgentEnv)
        else:
            # Of a name that the user registered with Ray nobody knows the kind.
            is_routing = self.env not in gymnasium.registry
        if not is_routing:
            self._refuse("env", "be RoutingMultiAgentEnv or derive from it; its env_config says which scenario")
        for name in self.at_least_one:
            if getattr(self, name) < 1:
                self._refuse(name, "be 1 or more")
        if self.lr <= 0.0:
            self._refuse("lr", "be a positive number; with lr_annealing it falls to 0 over num_training_epochs")
        if self.grad_clip is not None and self.grad_clip <= 0.0:
            self._refuse("grad_clip", "be positive, or None")
        if self.reward_scale <= 0.0:
            self._refuse("reward_scale", "be positive")
        if not 0.0 <= self.gamma <= 1.0:
            self._refuse("gamma", "be in [0, 1]")
        if self.encoder not in get_args(EncoderName):
            self._refuse("encoder", f"be one of {', '.join(get_args(EncoderName))}")
        if self.env_config.get("observation", "paper") != "paper":
            raise ValueError(
                "env_config: observation must be 'paper', whose junction ids the encoder expands; set encoder"
            )
        self._check_evaluation(self.scenario)

    def _check_evaluation(self, scenario: Scenario) -> None:
        """Other traffic will do, but policies are of these roads, one per agent."""
        given = self.evaluation_config
        if given is None or (isinstance(given, Mapping) and "env_config" not in given):
            return
        other = self.get_evaluation_config_object().scenario
        if len(other.trips) != len(scenario.trips) or other.network.edge_ids != scenario.network.edge_ids:
            raise ValueError(
                f"evaluation_config: it describes {len(other.trips)} agents on {other.network.name}, and training "
                f"{len(scenario.trips)} on {scenario.network.name}: both must be those of training"
            )

    @classmethod
    def settings_in_use(cls) -> set[str]:
        """Names of the training settings that mean something here."""
        own = [vars(kind).get("training") for kind in cls.__mro__ if issubclass(kind, RoutingConfig)]
        names = {name for training in own if training for name in inspect.signature(training).parameters}
        return names - {"self", "kwargs"} | set(cls.read_of_rllib)

    def _check_kinds(self) -> None:
        """Refuse what is of another kind than the default, such as a number that is not finite."""
        defaults = type(self)(self.algo_class)
        for name in ("seed", *sorted(self.settings_in_use())):
            value, default = getattr(self, name), getattr(defaults, name)
            kind = None if value is None and name in self.may_be_none else _wanted(default, value)
            if kind is not None:
                self._refuse(name, f"be {kind}")
        if not 0 <= (self.seed or 0) <= MAX_SEED:
            self._refuse("seed", f"be from 0 to {MAX_SEED}")

    def _set_given(self, arguments: Mapping[str, Any]) -> None:
        """Set what a `training` was given by name: its `locals()`."""
        for name, value in arguments.items():
            if name not in ("self", "kwargs", "__class__") and value is not NotProvided:
                setattr(self, name, value)

    def _refuse(self, name: str, remedy: str) -> None:
        raise ValueError(f"{name}={getattr(self, name)!r}: it must {remedy}")


def _wanted(default: Any, value: Any) -> str | None:
    """What a value should have been, to judge by the default; None if it is that."""
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(default, int | float) and (isinstance(value, bool) or not isinstance(value, Real)):
        return f"a number, such as {default}"
    if isinstance(value, Real) and not math.isfinite(value):
        return "a finite number"
    if isinstance(default, int) and not isinstance(value, Integral):
        return f"a whole number, such as {default}"
    return None


def _one_module(agent_id: str, episode: Any, **kwargs: Any) -> str:
    return keys.MODULE_ID


@lru_cache(maxsize=2)
def _scenario(arguments: bytes) -> Scenario:
    """By value, because RLlib copies configurations all the time and reading a map takes a while."""
    return make_scenario(**pickle.loads(arguments))
