"""The common part of RELED and the baselines as RLlib algorithms: sampling, an epoch's results, state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
)
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

from rllib_releds import keys
from rllib_releds.algorithm import results
from rllib_releds.algorithm.cycles import Cycle, FailedCycle
from rllib_releds.algorithm.dispatch import ListedTasks, Tasks, dispatch, sync_weights
from rllib_releds.algorithm.epoch_episodes import EpochEpisodes
from rllib_releds.algorithm.rollouts import Rollout
from rllib_releds.algorithm.routing_config import RoutingConfig
from rllib_releds.local_ray import warn_of_too_few_cpus
from sumo_marl_env import Scenario


class RoutingAlgorithm(Algorithm):
    """Base of the algorithms; a subclass writes `training_step` out of the parts below.

    `train()` runs one epoch and reports under `keys.RELED`.

    Attributes:
        epoch: epochs finished.
        agent_rollouts: the agent episodes of the last epoch.
        scenario: what is trained on.
    """

    config: RoutingConfig

    def setup(self, config: RoutingConfig) -> None:
        warn_of_too_few_cpus(config.num_env_runners * config.num_cpus_per_env_runner)
        super().setup(config)
        self.epoch = 0
        self.agent_rollouts: list[Rollout] = []
        self.scenario: Scenario = self.config.scenario
        self._interaction_steps = 0
        self._steps_per_episode: float | None = None
        # RLlib has done so without a version, by which an env runner that Ray starts again is told from the others.
        self._sync_weights()

    @property
    def last_cycle(self) -> Cycle | None:
        """The demonstration cycle in use: its context, demonstrations, rollouts and feedback."""
        return None

    @property
    def failed_cycles(self) -> tuple[FailedCycle, ...]:
        """The demonstration cycles that brought nothing, with the reasons."""
        return ()

    def routing_module(self) -> Any:
        """The learner's module; `single_policy(i)` of it exports one agent's policy."""
        return self.learner_group._learner.module[keys.MODULE_ID].unwrapped()

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(keys.RELED, components, not_components):
            state[keys.RELED] = self._own_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        if keys.RELED in state:
            self._set_own_state(state[keys.RELED])

    def _own_state(self) -> dict[str, Any]:
        """What RLlib's own state leaves out."""
        return {"epoch": self.epoch, "interaction_steps": self._interaction_steps}

    def _set_own_state(self, state: Mapping[str, Any]) -> None:
        self.epoch = state["epoch"]
        self._interaction_steps = state["interaction_steps"]

    def _sample_agent_episodes(self, epoch: int) -> list[Rollout]:
        episodes = EpochEpisodes(self._seed, epoch, self.config.total_train_batch_size, self._steps_per_episode)
        self._run_tasks(episodes)
        self.agent_rollouts = episodes.rollouts()
        self._steps_per_episode = episodes.steps_per_episode
        self._count(self.agent_rollouts)
        num_steps = sum(rollout.agent_steps() for rollout in self.agent_rollouts)
        self._interaction_steps += num_steps
        self._report(
            {
                **results.episode_results([rollout.episode for rollout in self.agent_rollouts]),
                keys.EPISODES: len(self.agent_rollouts),
                keys.INTERACTION_STEPS: num_steps,
                keys.INTERACTION_STEPS_LIFETIME: self._interaction_steps,
                keys.SIMULATION_WALL_S: sum(rollout.simulation_wall_s for rollout in self.agent_rollouts),
            }
        )
        return self.agent_rollouts

    def _learn(
        self,
        epoch: int,
        rollouts: Sequence[Rollout],
        timesteps: Mapping[str, Any] | None = None,
        *,
        num_passes: int | None = None,
        is_main: bool = True,
    ) -> dict[str, float]:
        """One update by the learner, which is told the epoch and `timesteps`; by default of `num_epochs` passes.

        The results of one update of an epoch, `is_main`, are RLlib's `learners`: it would mix those of several.

        Returns:
            Its metrics, by the names of `keys.LEARNER_RESULTS`.
        """
        learner_results = self.learner_group.update(
            episodes=list(rollouts),
            timesteps={
                NUM_ENV_STEPS_SAMPLED_LIFETIME: self.metrics.peek(
                    (ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0
                ),
                keys.EPOCH: epoch,
                **(timesteps or {}),
            },
            num_epochs=num_passes or self.config.num_epochs,
        )
        if is_main:
            self.metrics.aggregate(learner_results, key=LEARNER_RESULTS)
        metrics = MetricsLogger.peek_results(learner_results[0][keys.MODULE_ID])
        return {name: float(metrics[name]) for name in keys.LEARNER_RESULTS if name in metrics}

    def _sync_weights(self) -> None:
        sync_weights(self.env_runner_group, self.learner_group, self.config.sample_timeout_s)

    @property
    def _seed(self) -> int:
        return int(self.config.seed or 0)

    def _dispatch(self, tasks: Sequence[Any]) -> list[Any]:
        """The results of the tasks in their order."""
        listed = ListedTasks(tasks)
        self._run_tasks(listed)
        return listed.results()

    def _run_tasks(self, tasks: Tasks) -> None:
        dispatch(
            self.env_runner_group,
            tasks,
            timeout_s=self.config.sample_timeout_s,
            restore=self._restore_env_runners,
            restore_timeout_s=self.config.env_runner_restore_timeout_s
            if self.config.restart_failed_env_runners
            else None,
        )

    def _count(self, rollouts: Sequence[Rollout]) -> None:
        """Put agent episodes into RLlib's own results; the local env runner does, whoever played them."""
        runner = self.env_runner_group.local_env_runner
        runner.count(rollouts)
        self.metrics.aggregate([runner.get_metrics()], key=ENV_RUNNER_RESULTS)

    def _restore_env_runners(self) -> None:
        self.restore_env_runners(self.env_runner_group)
        self._sync_weights()

    def _timed(self, timer: str) -> AbstractContextManager:
        return self.metrics.log_time((keys.RELED, timer), reduce="mean", window=1)

    def _report(self, metrics: dict[str, Any]) -> None:
        self.metrics.log_dict(metrics, key=keys.RELED, window=1)
