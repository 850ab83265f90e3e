"""What travels between the driver, the env runners and the learner: episodes, and the tasks that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rllib_releds.algorithm.joint import JointSteps
from rllib_releds.demonstrations.protocol import Demonstrations, SubsetRollout
from sumo_marl_env import AgentID, AgentTrajectory, Episode, Exit

if TYPE_CHECKING:
    from rllib_releds.algorithm.env_runner import RoutingEnvRunner

# First words of the seed sequences, so that no two purposes draw the same numbers. They stay what they are: with others
# every run would be drawn anew.
SAMPLING, EXPERT, PARTITION, SHUFFLING, CALLBACK, FREE_SAMPLING, IMITATION = 0, 1, 2, 3, 5, 6, 7

MAX_ATTEMPTS = 3
"""How often a task is given out that is lost with its env runner, and an episode played in which SUMO crashes."""


def seed_sequence(seed: int, purpose: int, *numbers: int) -> np.random.SeedSequence:
    """The seed of one purpose at one point of the run, a function of nothing else: a resumed run draws the same."""
    return np.random.SeedSequence([seed, purpose, *numbers])


@dataclass(frozen=True)
class Rollout:
    """One whole episode, with what the learner bootstraps from.

    Attributes:
        episode: what every agent did; in an imitation episode with the actions that the demonstrations meant.
        final_observations: (n, obs_dim) float32, what each agent saw at the end of the episode.
        final_masks: (n, m_out) int8, its action mask then.
        simulation_wall_s: wall seconds inside SUMO.
        wall_s: wall seconds of the whole episode.
        expert: the subset that followed demonstrations, with their traces and the episode as it was driven; None for an
            agent episode.
        joint: what the whole team saw and did; None unless the configuration asks for it.
    """

    episode: Episode
    final_observations: NDArray[np.float32] = field(repr=False)
    final_masks: NDArray[np.int8] = field(repr=False)
    simulation_wall_s: float
    wall_s: float = 0.0
    expert: SubsetRollout | None = None
    joint: JointSteps | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Environment steps, as RLlib counts an episode's length."""
        return len(self.episode.times_s)

    def env_steps(self) -> int:
        return len(self)

    def agent_steps(self) -> int:
        """Interaction steps: decisions of all agents together."""
        return sum(len(trajectory.actions) for trajectory in self.episode)

    @property
    def demonstrated(self) -> tuple[AgentID, ...]:
        """The agents that follow demonstrations; none in an agent episode."""
        return () if self.expert is None else self.expert.agents

    def training_rows(self) -> Iterator[tuple[int, AgentTrajectory]]:
        """(agent index, trajectory) of those agents whose decisions are trained on.

        In an expert episode: the demonstrated ones whose demonstration did not fail. What the fallback drove after a
        failure is not imitated.
        """
        expert = self.expert
        for index, trajectory in enumerate(self.episode):
            agent = trajectory.agent
            is_trained_on = expert is None or (agent in expert.agents and expert.traces[agent].error is None)
            if is_trained_on and len(trajectory.actions):
                yield index, trajectory

    def as_driven(self) -> Rollout:
        """An expert or imitation episode with the actions that were carried out: rewards are theirs."""
        assert self.expert is not None
        return replace(self, episode=self.expert.episode)


@dataclass(frozen=True)
class SampleTask:
    """Sample one whole agent episode.

    Attributes:
        seed: of the run.
        epoch: the training epoch.
        episode: its number in the epoch.
    """

    seed: int
    epoch: int
    episode: int

    def run(self, runner: RoutingEnvRunner) -> Rollout:
        seed = seed_sequence(self.seed, SAMPLING, self.epoch, self.episode)
        return _whole(seed, runner.agent_rollout)


@dataclass(frozen=True)
class ExpertTask:
    """Sample one expert episode: a subset follows its demonstrations, all others their policies.

    Attributes:
        seed: of the run.
        epoch: the training epoch.
        subset: number of the subset, which differs between all that follow demonstrations in this epoch.
        agents: the subset.
        demonstrations: of this cycle.
    """

    seed: int
    epoch: int
    subset: int
    agents: tuple[AgentID, ...]
    demonstrations: Demonstrations

    def run(self, runner: RoutingEnvRunner) -> Rollout:
        seed = seed_sequence(self.seed, EXPERT, self.epoch, self.subset)
        return _whole(seed, lambda rng: runner.expert_rollout(rng, self.agents, self.demonstrations))


@dataclass(frozen=True)
class ImitationTask:
    """Sample one disturbed expert episode, in which all agents follow their demonstrations, to be imitated.

    Attributes:
        seed: of the run.
        epoch: the training epoch.
        number: of the episode.
        demonstrations: each agent's best so far.
        noise: share of disturbed decisions.
    """

    seed: int
    epoch: int
    number: int
    demonstrations: Demonstrations
    noise: float

    def run(self, runner: RoutingEnvRunner) -> Rollout:
        seed = seed_sequence(self.seed, IMITATION, self.epoch, self.number)
        return _whole(seed, lambda rng: runner.imitation_rollout(rng, self.demonstrations, self.noise))


def _whole(seed: np.random.SeedSequence, play: Callable[[np.random.Generator], Rollout]) -> Rollout:
    """The episode of this seed, played again where SUMO crashed in it, as it is where an env runner dies.

    Where it crashes every time the episode stays as it ended: training goes on with what there is.
    """
    for _ in range(MAX_ATTEMPTS):
        rollout = play(np.random.default_rng(seed))
        if not any(trip.exit == Exit.SIMULATOR_FAILED for trip in rollout.episode):
            break
    return rollout
