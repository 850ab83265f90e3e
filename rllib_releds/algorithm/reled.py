"""RELED: Algorithm 1 of the paper as an RLlib algorithm."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from rllib_releds import keys
from rllib_releds.algorithm import results
from rllib_releds.algorithm.config import RELEDConfig
from rllib_releds.algorithm.cycles import Cycle, FailedCycle, restricted
from rllib_releds.algorithm.demonstrating import DemonstrationCycles
from rllib_releds.algorithm.rollouts import ExpertTask, ImitationTask, Rollout
from rllib_releds.algorithm.routing_algorithm import RoutingAlgorithm
from rllib_releds.algorithm.teaching import Rehearsal, Teaching
from rllib_releds.demonstrations.callbacks import make_callback
from rllib_releds.demonstrations.errors import DemonstrationError
from rllib_releds.weighting import PathDistance, agent_weight
from sumo_marl_env import AgentID

_log = logging.getLogger(__name__)


class RELED(RoutingAlgorithm):
    """Reinforcement learning with demonstrations that are refined by what they do to the other agents.

    With `demonstrations=None` it is independent PPO. See `RoutingAlgorithm` for its attributes.
    """

    config: RELEDConfig

    @classmethod
    def get_default_config(cls) -> RELEDConfig:
        return RELEDConfig()

    def setup(self, config: RELEDConfig) -> None:
        super().setup(config)
        self._expert_steps = 0
        self._teaching = Teaching()
        self._rehearsals: list[Rehearsal] = []
        self._expert_simulation_wall_s = 0.0
        self._cycles: DemonstrationCycles | None = None
        if self.config.demonstrations is not None:
            self._cycles = DemonstrationCycles(
                make_callback(self.config.demonstrations),
                self.scenario,
                interval=self.config.demonstration_interval,
                num_subsets=self.config.num_subsets,
                gamma=self.config.gamma,
                seed=self._seed,
                asynchronous=self.config.asynchronous,
                gate=self.config.demonstration_gate,
                first_refinements=self.config.first_refinements,
            )

    def training_step(self) -> None:
        """One epoch of Algorithm 1. Imitation and rehearsal are not in the paper (docs/deviations.md)."""
        epoch, began_s = self.epoch, time.perf_counter()
        with self._timed(keys.SAMPLING_TIMER):
            agent_rollouts = self._sample_agent_episodes(epoch)  # tau^a
        # What follows asks who earns less than its demonstration, and who still rehearses.
        self._teaching.remember(self.scenario.agents, agent_rollouts)
        self._rehearsals = [one for one in self._rehearsals if epoch <= one.last_epoch]
        with self._timed(keys.DEMONSTRATIONS_TIMER):
            expert_rollouts = self._demonstrate(epoch, agent_rollouts)  # tau^e, Eq. 18 to 24
        with self._timed(keys.WEIGHTING_TIMER):
            weights = self._agent_weights(epoch, agent_rollouts, expert_rollouts)  # alpha, Eq. 30
        with self._timed(keys.IMITATION_TIMER):
            # After the weights: it forgets what the agents that imitate now have earned.
            to_imitate = self._play_imitation_episodes(epoch)
        with self._timed(keys.UPDATE_TIMER):
            self._update(epoch, agent_rollouts, expert_rollouts, to_imitate, weights)  # Eq. 26 to 31
        with self._timed(keys.SYNC_TIMER):
            self._sync_weights()
        self.epoch += 1
        self._report({keys.EPOCH: epoch, keys.EPOCH_WALL_S: time.perf_counter() - began_s})

    @property
    def last_cycle(self) -> Cycle | None:
        return self._cycles.last if self._cycles else None

    @property
    def failed_cycles(self) -> tuple[FailedCycle, ...]:
        return tuple(self._cycles.failures) if self._cycles else ()

    def _own_state(self) -> dict[str, Any]:
        cycles = self._cycles.get_state() if self._cycles else None
        return {
            **super()._own_state(),
            "expert_steps": self._expert_steps,
            "teaching": self._teaching.get_state(),
            "rehearsals": self._rehearsals,
            "cycles": cycles,
        }

    def _set_own_state(self, state: Mapping[str, Any]) -> None:
        super()._set_own_state(state)
        self._expert_steps = state["expert_steps"]
        self._teaching.set_state(state["teaching"])
        self._rehearsals = state["rehearsals"]
        if self._cycles and state["cycles"]:
            self._cycles.set_state(state["cycles"])

    # The calls of an epoch, beside those of the base.

    def _demonstrate(self, epoch: int, agent_rollouts: Sequence[Rollout]) -> tuple[Rollout, ...]:
        """The expert episodes in use: new ones if a cycle is due, or was answered meanwhile."""
        cycles = self._cycles
        self._expert_simulation_wall_s = 0.0
        if cycles is None:
            return ()
        cycles.run(epoch, agent_rollouts, self._roll_experts)
        if self.config.asynchronous:
            self._report({keys.IS_ASKING: float(cycles.is_waiting)})
        self._report(
            {
                keys.DEMONSTRATION_CYCLES: cycles.num_cycles,
                keys.FAILED_CYCLES: len(cycles.failures),
            }
        )
        if cycles.last is None:
            return ()
        moved = results.first_distance_results(cycles.domain, self.scenario.network, cycles.first_paths, cycles.last)
        self._report({**results.cycle_results(cycles.last), **moved, **cycles.last.demonstrations.metrics})
        return cycles.last.in_use

    def _play_imitation_episodes(self, epoch: int) -> tuple[Rollout, ...]:
        """Disturbed expert episodes of the agents that imitate now; none if nobody does."""
        config, cycle = self.config, self.last_cycle
        demonstrations = self._cycles.best if self._cycles else None
        if cycle is None or demonstrations is None or not config.imitation_episodes:
            return ()
        agents = self._teaching.take_beginners(cycle)
        if not agents:
            return ()
        tasks = [
            ImitationTask(self._seed, epoch, number, demonstrations, config.imitation_noise)
            for number in range(config.imitation_episodes)
        ]
        try:
            return tuple(restricted(rollout, agents) for rollout in self._roll_experts(tasks))
        except DemonstrationError as error:
            # What a demonstration gets wrong does not stop training.
            _log.warning("epoch %d: %s. Nobody imitates; training goes on.", epoch, error)
            return ()

    def _update(
        self,
        epoch: int,
        agent_rollouts: Sequence[Rollout],
        expert_rollouts: Sequence[Rollout],
        to_imitate: Sequence[Rollout],
        weights: Mapping[AgentID, float],
    ) -> None:
        timesteps = {keys.AGENT_WEIGHTS: np.array(list(weights.values()), np.float32)}
        metrics: dict[str, float] = {}
        begun = self._rehearsal(epoch, to_imitate) if to_imitate else None
        all_imitate = begun is not None and begun.agents == set(self.scenario.agents)
        if not all_imitate:
            rehearsed = [rollout for one in self._rehearsals for rollout in one.rollouts]
            metrics = self._learn(epoch, [*agent_rollouts, *expert_rollouts, *rehearsed], timesteps)
        if begun is not None:
            # After the usual update, or in its place: it would be off-policy for those that imitate.
            passes = self.config.imitation_passes
            imitation = self._learn(epoch, to_imitate, timesteps, num_passes=passes, is_main=all_imitate)
            updates = imitation[keys.NUM_UPDATES] + metrics.get(keys.NUM_UPDATES, 0.0)
            # Where only some imitate, the usual update is what is reported.
            metrics = {**imitation, **metrics, keys.NUM_UPDATES: updates}
            self._rehearsals.append(begun)
        if self._cycles:
            metrics[keys.EXPERT_STEPS_LIFETIME] = self._expert_steps
            metrics[keys.EXPERT_SIMULATION_WALL_S] = self._expert_simulation_wall_s
        self._report(metrics)

    def _rehearsal(self, epoch: int, imitated: Sequence[Rollout]) -> Rehearsal:
        config = self.config
        if config.expert_advantage != "behaviour_cloning":
            # What an action earned judges the action that was carried out.
            imitated = [rollout.as_driven() for rollout in imitated]
        return Rehearsal(epoch, epoch + config.rehearsal_epochs, tuple(imitated))

    def _agent_weights(
        self, epoch: int, agent_rollouts: Sequence[Rollout], expert_rollouts: Sequence[Rollout]
    ) -> dict[AgentID, float]:
        config = self.config
        distances: dict[AgentID, PathDistance] = {}
        if self._cycles:
            world = self._cycles.domain, self.scenario.network
            distances = results.path_distances(*world, agent_rollouts, expert_rollouts, config.dtw_scale)
        taught: Collection[AgentID] = self.scenario.agents
        rehearsal_weights = {agent: one.weight(epoch) for one in self._rehearsals for agent in one.agents}
        if config.only_better_demonstrations:
            taught = self._teaching.better_demonstrated(self.last_cycle)
        weights = {}
        for agent in self.scenario.agents:
            distance = None
            if agent in distances and agent in taught:
                measured = distances[agent]
                distance = measured.raw_m if config.dtw_unit == "metres" else measured.normalised
            weights[agent] = agent_weight(config.weight_rule, distance, epoch, config.num_training_epochs)
            weights[agent] = min(weights[agent], 1.0 - rehearsal_weights.get(agent, 0.0))
        self._report(results.weight_results(weights, distances))
        return weights

    def _roll_experts(self, tasks: Sequence[ExpertTask | ImitationTask]) -> list[Rollout]:
        rollouts = self._dispatch(tasks)
        self._expert_steps += sum(rollout.agent_steps() for rollout in rollouts)
        self._expert_simulation_wall_s += sum(rollout.simulation_wall_s for rollout in rollouts)
        return rollouts
