"""Which episodes an epoch consists of, whoever plays them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rllib_releds.algorithm.epoch_episodes import EpochEpisodes
from rllib_releds.errors import RolloutError


class Played:
    """An episode of so many interaction steps."""

    def __init__(self, number: int, steps: int) -> None:
        self.number = number
        self._steps = steps

    def agent_steps(self) -> int:
        return self._steps


def play(plan: EpochEpisodes, lengths: list[int], choose, num_runners: int) -> list[int]:
    """Numbers of the epoch's episodes; `choose` says which of those under way ends next."""
    under_way: list[int] = []
    while True:
        while len(under_way) < num_runners and (task := plan.next_task()) is not None:
            assert task[0] == task[1].episode
            under_way.append(task[0])
        if not under_way:
            return [rollout.number for rollout in plan.rollouts()]
        number = under_way.pop(choose(len(under_way)))
        plan.add(number, Played(number, lengths[number % len(lengths)]))


@given(
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=6),
    wanted=st.integers(1, 1000),
    num_runners=st.integers(1, 5),
    usual=st.none() | st.floats(1, 300),
    data=st.data(),
)
def test_an_epoch_has_the_same_episodes_whatever_the_runners_do(lengths, wanted, num_runners, usual, data):
    alone = play(EpochEpisodes(0, 0, wanted), lengths, lambda _: 0, 1)
    together = play(
        EpochEpisodes(0, 0, wanted, usual),
        lengths,
        lambda count: data.draw(st.integers(0, count - 1)),
        num_runners,
    )
    assert together == alone == list(range(len(alone)))
    steps = [lengths[number % len(lengths)] for number in alone]
    assert sum(steps) >= wanted > sum(steps[:-1])


@pytest.mark.parametrize("num_runners", [1, 2, 3])
def test_no_runner_plays_what_will_not_be_needed_when_episodes_are_alike(num_runners):
    plan = EpochEpisodes(0, 0, 1000, 100.0)
    play(plan, [100], lambda _: 0, num_runners)
    assert plan.next_task() is None
    assert len(plan.rollouts()) == plan._begun == 10


@pytest.mark.parametrize("num_runners", [1, 3])
def test_agents_that_never_decide_anything_end_the_run_in_place_of_sampling_for_ever(num_runners):
    with pytest.raises(RolloutError, match="no agent had anything to decide in 10 episodes"):
        play(EpochEpisodes(0, 0, 30), [0], lambda number: 0, num_runners)
    mostly_idle = [0, 0, 0, 0, 0, 0, 0, 0, 10]
    assert play(EpochEpisodes(0, 0, 30), mostly_idle, lambda number: 0, num_runners) == list(range(27))
