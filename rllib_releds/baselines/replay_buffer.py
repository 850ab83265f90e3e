"""Replay buffer of joint steps: whole episodes go in, segments of consecutive environment steps come out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rllib_releds.algorithm.joint import JointSteps


@dataclass(frozen=True)
class JointEpisode:
    """One episode in the replay.

    Attributes:
        joint: what the team saw and did in T environment steps.
        rewards: (T,) float32, the team's reward in each step.
    """

    joint: JointSteps
    rewards: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def is_terminated(self) -> bool:
        """Whether the last row is worth 0, because nobody is under way any more."""
        return not self.joint.is_live[-1].any()


@dataclass(frozen=True)
class Segments:
    """B segments of at most L consecutive environment steps, padded at the end. Row L is what was seen last.

    Attributes:
        states: (B, L + 1, S) float32.
        observations: (B, L + 1, n, obs_dim) float32.
        action_masks: (B, L + 1, n, m_out) int8.
        is_live: (B, L + 1, n) bool.
        actions: (B, L, n) int64.
        rewards: (B, L) float32.
        is_step: (B, L) float32, 0 in the padding.
        continues: (B, L) float32, 0 for a step after which nobody is under way, else 1.
        is_last: (B, L) float32, 1 for the last step of its segment.
    """

    states: NDArray[np.float32]
    observations: NDArray[np.float32]
    action_masks: NDArray[np.int8]
    is_live: NDArray[np.bool_]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float32]
    is_step: NDArray[np.float32]
    continues: NDArray[np.float32]
    is_last: NDArray[np.float32]


class ReplayBuffer:
    """The newest episodes.

    Args:
        capacity: environment steps; the oldest episodes go first, the newest always stays.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.episodes: deque[JointEpisode] = deque()

    def __len__(self) -> int:
        """Environment steps."""
        return sum(map(len, self.episodes))

    def add(self, episode: JointEpisode) -> None:
        self.episodes.append(episode)
        while len(self.episodes) > 1 and len(self) > self.capacity:
            self.episodes.popleft()

    def sample(self, num_segments: int, length: int, rng: np.random.Generator) -> Segments:
        """Segments that begin at environment steps drawn uniformly, and end with their episode at the latest."""
        episodes = list(self.episodes)
        ends = np.cumsum([len(episode) for episode in episodes])
        draws = rng.integers(ends[-1], size=num_segments)
        rows = np.searchsorted(ends, draws, side="right")
        starts = draws - (ends[rows] - [len(episodes[row]) for row in rows])
        return _stack([episodes[row] for row in rows], starts.tolist(), length)

    def get_state(self) -> dict[str, Any]:
        return {"episodes": list(self.episodes)}

    def set_state(self, state: dict[str, Any]) -> None:
        self.episodes = deque(state["episodes"])


def _stack(episodes: Sequence[JointEpisode], starts: Sequence[int], length: int) -> Segments:
    batch = len(episodes)
    first = episodes[0].joint
    seen = {
        name: np.zeros((batch, length + 1, *getattr(first, name).shape[1:]), getattr(first, name).dtype)
        for name in ("states", "observations", "action_masks", "is_live")
    }
    # A padded row must still allow something, or its best action would be undefined.
    seen["action_masks"][:] = 1
    actions = np.zeros((batch, length, first.actions.shape[1]), np.int64)
    rewards, is_step, is_last = (np.zeros((batch, length), np.float32) for _ in range(3))
    continues = np.ones((batch, length), np.float32)
    for row, (episode, start) in enumerate(zip(episodes, starts, strict=True)):
        steps = min(length, len(episode) - start)
        for name, array in seen.items():
            array[row, : steps + 1] = getattr(episode.joint, name)[start : start + steps + 1]
        actions[row, :steps] = episode.joint.actions[start : start + steps]
        rewards[row, :steps] = episode.rewards[start : start + steps]
        is_step[row, :steps] = 1.0
        is_last[row, steps - 1] = 1.0
        if start + steps == len(episode) and episode.is_terminated:
            continues[row, steps - 1] = 0.0
    return Segments(**seen, actions=actions, rewards=rewards, is_step=is_step, continues=continues, is_last=is_last)
