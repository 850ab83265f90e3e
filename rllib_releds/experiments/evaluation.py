"""Evaluation of saved policies and of the yardsticks, on the same seeds, in this process and without Ray."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ray.rllib.core import (
    COMPONENT_LEARNER,
    COMPONENT_LEARNER_GROUP,
    COMPONENT_RL_MODULE,
)
from ray.rllib.core.rl_module.rl_module import RLModule

from rllib_releds import keys
from rllib_releds.algorithm.inference import FastPolicies, decide
from rllib_releds.errors import RunError
from rllib_releds.experiments.checkpoints import readable
from rllib_releds.experiments.records import RunFolder
from sumo_marl_env import AgentID, Driver, Episode, Progress, RoutingEnv, parallel_env, run_yardstick

EVALUATION_SEED = 1_000_000
"""First background seed of evaluations; the others follow."""


class PolicyDriver:
    """Drives each agent by its policy: that of its name, or, where other agents were trained, that of its position.

    Args:
        policies: of all agents.
        trained: the agents' names in training, in the order of the policies.
        is_greedy: take the most probable action in place of a drawn one.
    """

    def __init__(self, policies: FastPolicies, trained: Sequence[AgentID], *, is_greedy: bool = False) -> None:
        self._policies = policies
        self._trained = trained
        self._is_greedy = is_greedy
        self._rng: np.random.Generator | None = None

    def begin(self, env: RoutingEnv, seed: int) -> None:
        agents = env.possible_agents
        in_order = self._trained if set(self._trained) == set(agents) else agents
        self._index = {agent: row for row, agent in enumerate(in_order)}
        self._rng = None if self._is_greedy else np.random.default_rng([seed, 2])

    def act(self, env: RoutingEnv, agent: AgentID) -> int:
        return decide(self._policies, env, [agent], self._index, self._rng)[0]


def load_module(checkpoint: Path | str) -> RLModule:
    """The networks of all agents in a checkpoint of the algorithm.

    Raises:
        RunError: if it is damaged.
    """
    checkpoint = Path(checkpoint).absolute()
    path = checkpoint / COMPONENT_LEARNER_GROUP / COMPONENT_LEARNER / COMPONENT_RL_MODULE / keys.MODULE_ID
    with readable(checkpoint):
        return RLModule.from_checkpoint(path)


def load_newest(run: RunFolder, *, is_best: bool = False) -> tuple[int, RLModule]:
    """(finished epochs, networks) of the newest checkpoint, or of the kept one that earned most.

    Raises:
        RunError: if there is none, or it is damaged.
    """
    while True:
        finished_epochs, checkpoint = run.best_checkpoint() if is_best else run.latest_checkpoint()
        try:
            return finished_epochs, load_module(checkpoint)
        except RunError:
            # Training, which may go on meanwhile, removes checkpoints that are not the newest any more.
            if checkpoint.exists():
                raise


def drive(
    env_config: Mapping[str, Any],
    drivers: Mapping[str, str | Driver],
    seeds: Iterable[int],
    progress: Progress | None = None,
) -> dict[str, list[Episode]]:
    """Episodes of each driver on the same seeds.

    Args:
        env_config: arguments of `sumo_marl_env.parallel_env`.
        drivers: drivers, or names of yardsticks, by the name they get in the result.
        seeds: one episode each.
        progress: told after each episode.
    """
    seeds = list(seeds)
    env = parallel_env(**env_config)
    try:
        return {name: run_yardstick(env, driver, seeds, progress) for name, driver in drivers.items()}
    finally:
        env.close()
