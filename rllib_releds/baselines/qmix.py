"""QMIX (Rashid et al. 2018) on the routing environment, as an RLlib algorithm."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.typing import RLModuleSpecType

from rllib_releds import keys
from rllib_releds.algorithm.routing_algorithm import RoutingAlgorithm
from rllib_releds.algorithm.routing_config import RoutingConfig
from rllib_releds.baselines.qmix_learner import QMIXLearner
from rllib_releds.baselines.qmix_module import QMIXModule


class QMIX(RoutingAlgorithm):
    """Value-based learning for a team: the agents' action values, mixed monotonically into the value of the team.

    A joint transition is one environment step. An agent with nothing to decide has one valid action; one that has left
    counts 0. See `RoutingAlgorithm` for the attributes.
    """

    config: QMIXConfig

    @classmethod
    def get_default_config(cls) -> QMIXConfig:
        return QMIXConfig()

    def training_step(self) -> None:
        """One epoch: episodes into the replay, updates from it."""
        epoch, began_s = self.epoch, time.perf_counter()
        with self._timed(keys.SAMPLING_TIMER):
            rollouts = self._sample_agent_episodes(epoch)
        with self._timed(keys.UPDATE_TIMER):
            self._report(self._learn(epoch, rollouts))
        with self._timed(keys.SYNC_TIMER):
            self._sync_weights()
        self.epoch += 1
        self._report({keys.EPOCH: epoch, keys.EPOCH_WALL_S: time.perf_counter() - began_s})


class QMIXConfig(RoutingConfig):
    """Settings of QMIX, beside those of `RoutingConfig`.

    | setting | default | meaning |
    |---|---|---|
    | replay_capacity | 20000 | environment steps in the replay |
    | num_updates | 40 | gradient steps per epoch |
    | num_segments, segment_length | 8, 64 | segments per gradient step, and environment steps in each |
    | lambda_ | 0.9 | of the returns that values are fitted to, per environment step |
    | target_update_rate | 0.01 | how far the target copies follow in each gradient step |
    | final_epsilon | 0.05 | share of random actions in the end |
    | exploration_share | 0.2 | share of the training epochs over which that share falls from 1 |
    | grad_clip | 10.0 | largest norm of the whole gradient |
    | lr_annealing | False | as for the other methods if True; it has learnt less with it |

    gamma is per decision of an agent, as for the other methods. A team of n makes up to n environment steps for each
    agent's decision, so a step is discounted by the n-th root of gamma. lambda_ is not: 0.9 looks about 10 environment
    steps ahead, which with many agents is less than one decision of each.
    """

    at_least_one: ClassVar[tuple[str, ...]] = (
        *RoutingConfig.at_least_one,
        "replay_capacity",
        "num_updates",
        "num_segments",
        "segment_length",
    )

    def __init__(self, algo_class: type | None = None) -> None:
        self.replay_capacity = 20_000
        self.num_updates = 40
        self.num_segments = 8
        self.segment_length = 64
        self.lambda_ = 0.9
        self.target_update_rate = 0.01
        self.final_epsilon = 0.05
        self.exploration_share = 0.2
        super().__init__(algo_class=algo_class or QMIX)
        self.grad_clip = 10.0
        self.lr_annealing = False

    def training(
        self,
        *,
        replay_capacity: int = NotProvided,
        num_updates: int = NotProvided,
        num_segments: int = NotProvided,
        segment_length: int = NotProvided,
        lambda_: float = NotProvided,
        target_update_rate: float = NotProvided,
        final_epsilon: float = NotProvided,
        exploration_share: float = NotProvided,
        **kwargs: Any,
    ) -> QMIXConfig:
        """Set what the tables list; everything else goes to RLlib's `training` (lr, gamma, grad_clip ...)."""
        super().training(**kwargs)
        self._set_given(locals())
        return self

    @property
    def records_joint_steps(self) -> bool:
        return True

    @property
    def team_discount(self) -> float:
        """Discount of one environment step."""
        return self.gamma ** (1.0 / len(self.scenario.trips))

    def epsilon_at(self, epoch: int) -> float:
        """Share of random actions in an epoch."""
        progress = min(1.0, epoch / max(1.0, self.exploration_share * self.num_training_epochs))
        return 1.0 + progress * (self.final_epsilon - 1.0)

    def get_default_learner_class(self) -> type:
        return QMIXLearner

    def get_default_rl_module_spec(self) -> RLModuleSpecType:
        return RLModuleSpec(module_class=QMIXModule)

    def validate(self) -> None:
        """Refuse what cannot work, before anything starts; see `RoutingConfig.validate`."""
        super().validate()
        for name in ("lambda_", "target_update_rate", "final_epsilon", "exploration_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                self._refuse(name, "be in [0, 1]")
