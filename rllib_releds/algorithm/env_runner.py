"""Sampling: whole episodes, policy to SUMO and back, without the per-step cost of RLlib's connector pipelines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.utils.metrics import (
    NUM_AGENT_STEPS_SAMPLED,
    NUM_AGENT_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES,
    NUM_EPISODES_LIFETIME,
    WEIGHTS_SEQ_NO,
)

from rllib_releds import keys
from rllib_releds.algorithm.inference import FastPolicies, decide
from rllib_releds.algorithm.joint import JointRecorder
from rllib_releds.algorithm.rollouts import FREE_SAMPLING, Rollout, seed_sequence
from rllib_releds.demonstrations.episodes import play_episode
from rllib_releds.demonstrations.perturbed import PerturbedDemonstrator
from rllib_releds.demonstrations.protocol import Demonstrations, Demonstrator, SubsetRollout
from rllib_releds.env_adapter import RoutingMultiAgentEnv
from sumo_marl_env import AgentID, Episode, RoutingEnv


class RoutingEnvRunner(MultiAgentEnvRunner):
    """An RLlib env runner whose `sample` returns `Rollout`s of whole episodes.

    Its env, module, state, spaces and metrics are RLlib's; only the sampling loop is not: observations go straight to
    the stacked policies, and callbacks such as `on_episode_end` and `on_sample_end` are not called. The algorithm calls
    it through the tasks of `rllib_releds.algorithm.rollouts`, which fix all randomness; `sample` is for RLlib's own
    callers (evaluation).

    Attributes:
        policy_version: the learner's number of the weights it was given last; None before any, as after a restart.
    """

    def __init__(self, config: Any, **kwargs: Any) -> None:
        self._weights_seq_no: int
        self.policy_version: int | None = None
        self._num_free_samples = 0
        super().__init__(config, **kwargs)
        if self.worker_index:
            # One core each: with more threads than cores an epoch takes up to 20 times as long.
            torch.set_num_threads(1)
        self._policies: FastPolicies | None = None

    @property
    def routing_env(self) -> RoutingEnv:
        """The environment of this runner."""
        adapter = self.env.envs[0].unwrapped
        assert isinstance(adapter, RoutingMultiAgentEnv)
        return adapter.routing_env

    @property
    def policies(self) -> FastPolicies:
        """The current policies of all agents."""
        if self._policies is None:
            self._policies = self.module[keys.MODULE_ID].sampling_policies()
        return self._policies

    def set_state(self, state: dict[str, Any]) -> None:
        if state.get(WEIGHTS_SEQ_NO) != self.policy_version:
            # So that what is drawn next depends on how far training is, and on no more.
            self.policy_version, self._num_free_samples = state.get(WEIGHTS_SEQ_NO), 0
        if WEIGHTS_SEQ_NO in state:
            # RLlib skips weights that are older than its own, which a restored checkpoint's may be.
            self._weights_seq_no = min(self._weights_seq_no, state[WEIGHTS_SEQ_NO] - 1)
        # New weights are copied into the parameters that `policies` reads.
        super().set_state(state)

    def sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool | None = None,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> list[Rollout]:
        """Whole episodes: `num_episodes`, or until `num_timesteps` interaction steps, or one.

        Args:
            num_timesteps: interaction steps to reach.
            num_episodes: episodes to play, one by default; RLlib asks env runners for none, too.
            explore: draw actions (True) or take the most probable ones; by default as configured.
            random_actions: has no effect; untrained policies are nearly uniform.
            force_reset: has no effect, every call begins a new episode.
        """
        self._num_free_samples += 1
        place = (int(self.config.in_evaluation), self.worker_index or 0)
        numbers = (*place, self.policy_version or 0, self._num_free_samples)
        rng = np.random.default_rng(seed_sequence(self.config.seed or 0, FREE_SAMPLING, *numbers))
        is_drawn = self.config.explore if explore is None else explore
        rollouts: list[Rollout] = []
        while (
            len(rollouts) < (1 if num_episodes is None else num_episodes)
            if num_timesteps is None
            else sum(rollout.agent_steps() for rollout in rollouts) < num_timesteps
        ):
            rollouts.append(self._play(rng, is_drawn=is_drawn))
        self.count(rollouts)
        return rollouts

    def agent_rollout(self, rng: np.random.Generator) -> Rollout:
        """One whole episode of the current policies, which is not counted yet: `count` does."""
        return self._play(rng)

    def expert_rollout(
        self, rng: np.random.Generator, agents: Sequence[AgentID], demonstrations: Demonstrations
    ) -> Rollout:
        """One whole episode in which `agents` follow their demonstrations and all others their policies."""
        return self._demonstrate(rng, agents, demonstrations.demonstrator(agents))

    def imitation_rollout(self, rng: np.random.Generator, demonstrations: Demonstrations, noise: float) -> Rollout:
        """One whole episode in which all agents follow their demonstrations and are disturbed now and then.

        Its actions are those that the demonstrations meant; those that were carried out are in `expert.episode`.
        """
        env = self.routing_env
        agents = env.possible_agents
        demonstrator = PerturbedDemonstrator(demonstrations.demonstrator(agents), env.action_mask, noise, rng)
        rollout = self._demonstrate(rng, agents, demonstrator)
        meant = tuple(demonstrator.as_meant(one) for one in rollout.episode)
        return replace(rollout, episode=replace(rollout.episode, trajectories=meant))

    def _demonstrate(self, rng: np.random.Generator, agents: Sequence[AgentID], demonstrator: Demonstrator) -> Rollout:
        rollout = self._play(rng, dict.fromkeys(agents, demonstrator))
        episode, traces = rollout.episode, demonstrator.finish()
        return replace(rollout, expert=SubsetRollout(tuple(agents), episode, traces, self._logps(episode, agents)))

    def _play(
        self,
        rng: np.random.Generator,
        demonstrators: Mapping[AgentID, Demonstrator] | None = None,
        *,
        is_drawn: bool = True,
    ) -> Rollout:
        """One whole episode, whose seed and actions `rng` draws; the most probable ones unless `is_drawn`."""
        env = self.routing_env
        began_s, simulated_s = time.perf_counter(), env.simulation_wall_s
        index = {agent: row for row, agent in enumerate(env.possible_agents)}
        seen = JointRecorder() if self.config.records_joint_steps else None
        episode = play_episode(
            env,
            int(rng.integers(2**31)),
            demonstrators or {},
            lambda agents: decide(self.policies, env, agents, index, rng if is_drawn else None),
            watch=None if seen is None else seen.look,
        )
        last = [env.observe(agent) for agent in env.possible_agents]
        return Rollout(
            episode=episode,
            final_observations=np.array([observation["observation"] for observation in last]),
            final_masks=np.array([observation["action_mask"] for observation in last]),
            simulation_wall_s=env.simulation_wall_s - simulated_s,
            wall_s=time.perf_counter() - began_s,
            joint=None if seen is None else seen.joint_steps(env, episode),
        )

    def _logps(self, episode: Episode, agents: Sequence[AgentID]) -> dict[AgentID, np.ndarray]:
        """What the policies think of the actions of these agents."""
        return {
            trip.agent: self.policies.log_probabilities(row, trip.observations, trip.action_masks, trip.actions)
            for row, trip in enumerate(episode)
            if trip.agent in agents
        }

    def count(self, rollouts: Sequence[Rollout]) -> None:
        """Log agent episodes under RLlib's own names. Expert and evaluation episodes are no training returns.

        Whoever trains on the episodes calls this, on any runner: not every episode that a runner plays is used.
        """
        log = self.metrics.log_value
        for rollout in rollouts:
            steps = {trajectory.agent: len(trajectory.actions) for trajectory in rollout.episode}
            returns = {trajectory.agent: trajectory.total_reward for trajectory in rollout.episode}
            total = sum(returns.values())
            log(NUM_EPISODES, 1, reduce="sum")
            log(NUM_EPISODES_LIFETIME, 1, reduce="lifetime_sum")
            log(NUM_ENV_STEPS_SAMPLED, len(rollout), reduce="sum")
            log(NUM_ENV_STEPS_SAMPLED_LIFETIME, len(rollout), reduce="lifetime_sum", with_throughput=True)
            for agent, count in steps.items():
                log((NUM_AGENT_STEPS_SAMPLED, agent), count, reduce="sum")
                log((NUM_AGENT_STEPS_SAMPLED_LIFETIME, agent), count, reduce="lifetime_sum")
            self._log_episode_metrics(len(rollout), total, rollout.wall_s, returns, {keys.MODULE_ID: total}, steps)
