"""What QMIX learns from: segments of episodes in the replay."""

import numpy as np
import pytest

from rllib_releds.algorithm.joint import JointSteps
from rllib_releds.baselines.replay_buffer import JointEpisode, ReplayBuffer

NUM_AGENTS = 2


def episode(first: float, steps: int, *, is_cut_off: bool = False) -> JointEpisode:
    """Step t begins in the state `first` + t, and earns as much."""
    numbers = first + np.arange(steps + 1, dtype=np.float32)
    each = np.broadcast_to(numbers[:, None], (steps + 1, NUM_AGENTS))
    is_live = np.ones((steps + 1, NUM_AGENTS), bool)
    is_live[-1] = [is_cut_off, False]
    joint = JointSteps(
        states=numbers[:, None],
        observations=each[..., None],
        action_masks=np.full((steps + 1, NUM_AGENTS, 3), [0, 1, 0], np.int8),
        is_live=is_live,
        actions=each[:-1].astype(np.int64),
    )
    return JointEpisode(joint, numbers[:-1])


def segments_of(*episodes: JointEpisode, length: int, num_segments: int = 200):
    replay = ReplayBuffer(1000)
    for one in episodes:
        replay.add(one)
    return replay.sample(num_segments, length, np.random.default_rng(0))


def test_segments_begin_anywhere_and_end_with_their_episode():
    segments = segments_of(episode(10.0, 3), episode(20.0, 5), length=4)
    assert set(segments.states[:, 0, 0].tolist()) == {10.0, 11.0, 12.0, 20.0, 21.0, 22.0, 23.0, 24.0}
    for row in range(len(segments.rewards)):
        begin = segments.states[row, 0, 0]
        steps = int(min(4.0, (13.0 if begin < 20.0 else 25.0) - begin))
        expected = begin + np.arange(steps + 1)
        for seen in (segments.states[row, ..., 0], segments.observations[row, :, 1, 0]):
            np.testing.assert_array_equal(seen[: steps + 1], expected)
        np.testing.assert_array_equal(segments.rewards[row, :steps], expected[:-1])
        np.testing.assert_array_equal(segments.actions[row, :steps, 0], expected[:-1])
        np.testing.assert_array_equal(segments.is_step[row], np.arange(4) < steps)
        np.testing.assert_array_equal(segments.is_last[row], np.arange(4) == steps - 1)
        assert segments.action_masks[row, : steps + 1, :, 0].max() == 0
        assert segments.action_masks[row, steps + 1 :].all()


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_what_follows_counts_unless_nobody_is_under_way_any_more(is_cut_off):
    segments = segments_of(episode(0.0, 5, is_cut_off=is_cut_off), length=3)
    is_end = (segments.rewards == 4.0) & (segments.is_step == 1)
    assert is_end.any()
    np.testing.assert_array_equal(segments.continues == 0, is_end & (not is_cut_off))


def test_the_oldest_episodes_go_first_and_the_newest_always_stays():
    replay = ReplayBuffer(8)
    for first, steps in ((0.0, 3), (10.0, 4), (20.0, 4)):
        replay.add(episode(first, steps))
    assert [one.rewards[0] for one in replay.episodes] == [10.0, 20.0]
    assert len(replay) == 8
    replay.add(episode(30.0, 50))
    assert [one.rewards[0] for one in replay.episodes] == [30.0]
