"""Which agent episodes an epoch consists of: the same for any number of env runners, and for whichever is faster."""

from __future__ import annotations

from rllib_releds.algorithm.rollouts import Rollout, SampleTask
from rllib_releds.errors import RolloutError

MAX_IDLE_EPISODES = 10
"""After so many episodes without a single decision there will be none in the next ones, either."""


class EpochEpisodes:
    """The first episodes of the epoch, in the order of their numbers, that have enough interaction steps together.

    Each episode has a seed of its own, so it does not matter who plays it or when. With several env runners the next
    one is begun when those that are done, and those under way if they are as long as usual, are not enough. A runner
    so may play one that turns out not to be needed; it is dropped.

    Args:
        seed: of the run.
        epoch: the training epoch.
        interaction_steps: the fewest that the episodes have together.
        steps_per_episode: interaction steps of an episode of usual length; None if not known: then a runner
            never waits.
    """

    def __init__(self, seed: int, epoch: int, interaction_steps: int, steps_per_episode: float | None = None) -> None:
        self._seed = seed
        self._epoch = epoch
        self._wanted = interaction_steps
        self._usual = steps_per_episode
        self._begun = 0
        self._done: dict[int, Rollout] = {}

    @property
    def steps_per_episode(self) -> float | None:
        """Mean interaction steps of the episodes that are done; what was said of it before there are any."""
        if not self._done:
            return self._usual
        return sum(rollout.agent_steps() for rollout in self._done.values()) / len(self._done)

    def next_task(self) -> tuple[int, SampleTask] | None:
        """As of `Tasks`.

        Raises:
            RolloutError: if nobody ever decides anything: the epoch would never end.
        """
        expected = float(sum(rollout.agent_steps() for rollout in self._done.values()))
        expected += (self._begun - len(self._done)) * (self.steps_per_episode or 0.0)
        if expected >= self._wanted:
            return None
        if not expected and len(self._done) >= MAX_IDLE_EPISODES:
            raise RolloutError(
                f"no agent had anything to decide in {len(self._done)} episodes: the vehicles depart too near the end "
                "of the episode (horizon_s), or find no room on their first road"
            )
        index, self._begun = self._begun, self._begun + 1
        return index, SampleTask(self._seed, self._epoch, index)

    def add(self, index: int, rollout: Rollout) -> None:
        self._done[index] = rollout

    def rollouts(self) -> list[Rollout]:
        """The episodes of the epoch."""
        kept: list[Rollout] = []
        num_steps = 0
        for index in sorted(self._done):
            if num_steps >= self._wanted:
                break
            kept.append(self._done[index])
            num_steps += kept[-1].agent_steps()
        return kept
