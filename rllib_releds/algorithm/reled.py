"""RELED: Algorithm 1 of the paper as an RLlib algorithm."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
)
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

from rllib_releds import keys
from rllib_releds.algorithm import results
from rllib_releds.algorithm.config import RELEDConfig
from rllib_releds.algorithm.demonstrating import Cycle, DemonstrationCycles, FailedCycle
from rllib_releds.algorithm.dispatch import dispatch, sync_weights
from rllib_releds.algorithm.module import RoutingModule
from rllib_releds.algorithm.rollouts import EvaluationTask, ExpertTask, Rollout, SampleTask
from rllib_releds.demonstrations.callbacks import make_callback
from rllib_releds.demonstrations.protocol import DemonstrationCallback
from rllib_releds.weighting import PathDistance, agent_weight, warm_up
from sumo_marl_env import AgentID, Episode, Scenario


class RELED(Algorithm):
    """Reinforcement learning with demonstrations that are refined by what they do to the other agents.

    `train()` runs one epoch and reports under `keys.RELED`. With `demonstrations=None` it is independent PPO.

    Attributes:
        epoch: epochs finished.
        agent_rollouts: the agent episodes of the last epoch.
        scenario: what is trained on.
    """

    config: RELEDConfig

    @classmethod
    def get_default_config(cls) -> RELEDConfig:
        return RELEDConfig()

    def setup(self, config: RELEDConfig) -> None:
        super().setup(config)
        self.epoch = 0
        self.agent_rollouts: list[Rollout] = []
        self.scenario: Scenario = self.config.scenario
        self._interaction_steps = 0
        self._expert_steps = 0
        self._cycles: DemonstrationCycles | None = None
        if self.config.demonstrations is not None:
            # Compiling the distance takes seconds, which are no part of the first epoch.
            warm_up()
            self._cycles = DemonstrationCycles(
                make_callback(self.config.demonstrations),
                self.scenario,
                interval=self.config.demonstration_interval,
                num_subsets=self.config.num_subsets,
                gamma=self.config.gamma,
                seed=self._seed,
                asynchronous=self.config.asynchronous,
                gate=self.config.demonstration_gate,
            )

    def training_step(self) -> None:
        """One epoch of Algorithm 1."""
        epoch, began_s = self.epoch, time.perf_counter()
        with self._timed(keys.SAMPLING_TIMER):
            rollouts = self._sample_agent_episodes(epoch)
        with self._timed(keys.DEMONSTRATIONS_TIMER):
            expert_rollouts = self._demonstrate(epoch, rollouts)
        with self._timed(keys.WEIGHTING_TIMER):
            weights = self._agent_weights(epoch, rollouts, expert_rollouts)
        with self._timed(keys.UPDATE_TIMER):
            self._update(epoch, [*rollouts, *expert_rollouts], weights)
        with self._timed(keys.SYNC_TIMER):
            sync_weights(self.env_runner_group, self.learner_group, self.config.sample_timeout_s)
        self.epoch += 1
        self._report({keys.EPOCH: epoch, keys.EPOCH_WALL_S: time.perf_counter() - began_s})

    @property
    def last_cycle(self) -> Cycle | None:
        """The demonstration cycle in use: its context, demonstrations, rollouts and feedback."""
        return self._cycles.last if self._cycles else None

    @property
    def failed_cycles(self) -> tuple[FailedCycle, ...]:
        """The demonstration cycles that brought nothing, with the reasons."""
        return tuple(self._cycles.failures) if self._cycles else ()

    def wait_for_demonstrations(self, timeout_s: float | None = None) -> None:
        """Return when no request for demonstrations runs beside training, or after this time in seconds."""
        if self._cycles:
            self._cycles.wait(timeout_s)

    @property
    def demonstration_callback(self) -> DemonstrationCallback | None:
        """The callback of this run, with its conversation and usage; the one in `config` is only its pattern."""
        return self._cycles.callback if self._cycles else None

    def play_episodes(self, seeds: Sequence[int], *, is_greedy: bool = True) -> list[Episode]:
        """Whole episodes with the current policies that are neither trained on nor counted.

        Args:
            seeds: one episode each; equal seeds mean equal background traffic for whatever drives the agents.
            is_greedy: take the most probable actions in place of drawn ones.
        """
        rollouts = self._dispatch([EvaluationTask(int(seed), is_greedy) for seed in seeds], is_counted=False)
        return [rollout.episode for rollout in rollouts]

    def routing_module(self) -> RoutingModule:
        """The learner's module; `single_policy(i)` of it exports one agent's policy."""
        return self.learner_group._learner.module[keys.MODULE_ID].unwrapped()

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(keys.RELED, components, not_components):
            state[keys.RELED] = {
                "epoch": self.epoch,
                "interaction_steps": self._interaction_steps,
                "expert_steps": self._expert_steps,
                "cycles": self._cycles.get_state() if self._cycles else None,
            }
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        if keys.RELED in state:
            own = state[keys.RELED]
            self.epoch = own["epoch"]
            self._interaction_steps = own["interaction_steps"]
            self._expert_steps = own["expert_steps"]
            if self._cycles and own["cycles"]:
                self._cycles.set_state(own["cycles"])

    # The five calls of an epoch.

    def _sample_agent_episodes(self, epoch: int) -> list[Rollout]:
        num_shares = max(1, self.config.num_env_runners)
        steps = -(-self.config.total_train_batch_size // num_shares)
        shares = self._dispatch([SampleTask(self._seed, epoch, share, steps) for share in range(num_shares)])
        self.agent_rollouts = [rollout for share in shares for rollout in share]
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

    def _demonstrate(self, epoch: int, agent_rollouts: Sequence[Rollout]) -> tuple[Rollout, ...]:
        """The expert episodes in use: new ones if a cycle is due, or was answered meanwhile."""
        cycles = self._cycles
        if cycles is None:
            return ()
        cycles.run(epoch, agent_rollouts, self._roll_experts)
        if self.config.asynchronous:
            self._report({keys.IS_ASKING: float(cycles.is_waiting)})
        self._report(
            {
                keys.DEMONSTRATION_CYCLES: cycles.num_cycles,
                keys.FAILED_CYCLES: len(cycles.failures),
                keys.EXPERT_STEPS_LIFETIME: self._expert_steps,
            }
        )
        if cycles.last is None:
            return ()
        self._report({**results.cycle_results(cycles.last), **cycles.last.metrics})
        return cycles.last.in_use

    def _agent_weights(
        self, epoch: int, agent_rollouts: Sequence[Rollout], expert_rollouts: Sequence[Rollout]
    ) -> dict[AgentID, float]:
        config = self.config
        distances: dict[AgentID, PathDistance] = {}
        if expert_rollouts:
            distances = results.path_distances(self.scenario.network, agent_rollouts, expert_rollouts, config.dtw_scale)
        weights = {}
        for agent in self.scenario.agents:
            distance = distances[agent].normalised if agent in distances else None
            weights[agent] = agent_weight(config.weight_rule, distance, epoch, config.num_training_epochs)
        self._report(results.weight_results(weights, distances))
        return weights

    def _update(self, epoch: int, rollouts: Sequence[Rollout], weights: dict[AgentID, float]) -> None:
        learner_results = self.learner_group.update(
            episodes=list(rollouts),
            timesteps={
                NUM_ENV_STEPS_SAMPLED_LIFETIME: self.metrics.peek(
                    (ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0
                ),
                keys.EPOCH: epoch,
                keys.AGENT_WEIGHTS: np.array(list(weights.values()), np.float32),
            },
            num_epochs=self.config.num_epochs,
        )
        self.metrics.aggregate(learner_results, key=LEARNER_RESULTS)
        figures = MetricsLogger.peek_results(learner_results[0][keys.MODULE_ID])
        self._report({name: figures[name] for name in keys.LEARNER_RESULTS if name in figures})

    # What they share.

    @property
    def _seed(self) -> int:
        return int(self.config.seed or 0)

    def _roll_experts(self, tasks: Sequence[ExpertTask]) -> list[Rollout]:
        rollouts = self._dispatch(tasks, is_counted=False)
        self._expert_steps += sum(rollout.agent_steps() for rollout in rollouts)
        return rollouts

    def _dispatch(self, tasks: Sequence[Any], *, is_counted: bool = True) -> list[Any]:
        return dispatch(
            self.env_runner_group,
            tasks,
            timeout_s=self.config.sample_timeout_s,
            restore=self._restore_env_runners,
            collect_metrics=self._aggregate_env_runner_metrics if is_counted else None,
        )

    def _aggregate_env_runner_metrics(self, metrics: list[Any]) -> None:
        self.metrics.aggregate([one for one in metrics if one is not None], key=ENV_RUNNER_RESULTS)

    def _restore_env_runners(self) -> None:
        self.restore_env_runners(self.env_runner_group)
        sync_weights(self.env_runner_group, self.learner_group, self.config.sample_timeout_s)

    def _timed(self, timer: str) -> AbstractContextManager:
        return self.metrics.log_time((keys.RELED, timer), reduce="mean", window=1)

    def _report(self, figures: dict[str, Any]) -> None:
        self.metrics.log_dict(figures, key=keys.RELED, window=1)
