import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rllib_releds.demonstrations.routing_domain import ROUTING
from rllib_releds.weighting import agent_weight, check_weight_rule, mean_path_distance, path_distance

LINE = np.array([[0.0, 0.0], [100.0, 0.0], [200.0, 0.0]])


def test_equal_paths_are_at_distance_zero():
    distance = path_distance(LINE, LINE, 1000.0)
    assert (distance.raw_m, distance.normalised) == (0.0, 0.0)


def test_distance_of_parallel_paths_by_hand():
    distance = path_distance(LINE, LINE + np.array([0.0, 30.0]), 1000.0, dtw_scale=5.0)
    assert distance.raw_m == pytest.approx(30.0 * math.sqrt(3))  # root of the summed squares
    assert distance.normalised == pytest.approx(3 * 30.0 / (3 * 1000.0) * 5.0)


def test_the_mean_is_over_the_steps_of_the_warping_path():
    agent, expert = (np.array([[x, 0.0] for x in along]) for along in ((0.0, 10.0, 100.0), (0.0, 90.0, 100.0)))
    distance = path_distance(agent, expert, 1000.0, dtw_scale=2.0)
    # Four steps, 0, 10, 10 and 0 m apart, though each path has three junctions.
    assert distance.raw_m == pytest.approx(math.sqrt(200.0))
    assert distance.normalised == pytest.approx(20.0 / (4 * 1000.0) * 2.0)


def places(dimensions: int) -> st.SearchStrategy[np.ndarray]:
    shapes = st.tuples(st.integers(1, 6), st.just(dimensions))
    return arrays(np.float64, shapes, elements=st.floats(-1e4, 1e4, width=32))


@given(st.integers(1, 3).flatmap(lambda dimensions: st.tuples(places(dimensions), places(dimensions))))
def test_the_distance_is_the_least_sum_over_all_warpings(paths):
    agent, expert = paths
    squares = ((agent[:, None] - expert[None]) ** 2).sum(axis=2)

    @cache
    def least(row: int, column: int) -> float:
        before = [(row - 1, column), (row, column - 1), (row - 1, column - 1)]
        sums = [least(*pair) for pair in before if min(pair) >= 0]
        return squares[row, column] + min(sums, default=0.0)

    expected = math.sqrt(least(len(agent) - 1, len(expert) - 1))
    distance = path_distance(agent, expert, 1000.0, dtw_scale=1000.0)
    assert distance.raw_m == pytest.approx(expected)
    # The mean over the steps is no more than the root of the mean square, and there are n + p - 1 steps at most.
    steps = np.array([max(len(agent), len(expert)), len(agent) + len(expert) - 1])
    assert distance.raw_m / steps[1] <= distance.normalised * 1.000001
    assert distance.normalised <= distance.raw_m / np.sqrt(steps[0]) * 1.000001


def test_warping_lets_a_path_wait():
    slow = np.repeat(LINE, 2, axis=0)
    assert path_distance(slow, LINE, 1000.0).normalised == 0.0


def test_distance_scales_with_the_network_and_the_factor():
    near = path_distance(LINE, LINE + 10.0, 1000.0, 1.0).normalised
    assert path_distance(LINE, LINE + 10.0, 2000.0, 1.0).normalised == pytest.approx(near / 2)
    assert path_distance(LINE, LINE + 10.0, 1000.0, 3.0).normalised == pytest.approx(near * 3)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((0, 2)), np.zeros((3, 3)), np.zeros(4), np.array([[0.0, np.nan]]), np.array([[0.0, 1.0], [np.nan] * 2])],
)
def test_paths_that_cannot_be_compared_are_refused(wrong):
    with pytest.raises(ValueError, match="path"):
        path_distance(LINE, wrong, 1000.0)
    with pytest.raises(ValueError, match="path"):
        path_distance(wrong, LINE, 1000.0)


def test_a_network_without_extent_is_refused():
    with pytest.raises(ValueError, match="diagonal"):
        path_distance(LINE, LINE, 0.0)


def test_several_episodes_count_by_their_mean(grid):
    expert, other = [0, 1, 2], [0, 4, 8]
    one = mean_path_distance(ROUTING, grid, [other], expert)
    both = mean_path_distance(ROUTING, grid, [other, expert, []], expert)
    assert one.normalised > 0
    assert both.normalised == pytest.approx(one.normalised / 2)
    assert both.raw_m == pytest.approx(one.raw_m / 2)


def test_the_factor_is_on_the_normalised_distance_alone(grid):
    once, twice = (mean_path_distance(ROUTING, grid, [[0, 4, 8]], [0, 1, 2], scale) for scale in (1.0, 2.0))
    assert twice.normalised == pytest.approx(2.0 * once.normalised)
    assert twice.raw_m == once.raw_m


def test_nothing_to_compare_gives_none(grid):
    assert mean_path_distance(ROUTING, grid, [[0, 1]], []) is None
    assert mean_path_distance(ROUTING, grid, [[]], [0, 1]) is None


@pytest.mark.parametrize(
    ("rule", "epoch", "expected"),
    [
        ("paper", 0, 1.0),
        ("paper", 50, math.exp(-1.0)),
        ("paper", 100, math.exp(-2.0)),
        ("annealed", 0, math.exp(-2.0)),
        ("annealed", 100, 1.0),
        ("annealed", 200, 1.0),
        ("similarity", 37, math.exp(-2.0)),
        (0.2, 3, 0.8),
        (np.float32(0.25), 3, 0.75),
        (0.5, 3, 0.5),
        (0, 3, 1.0),
        (1, 3, 0.0),
        (lambda distance, epoch, total: distance / 4 + epoch / total / 2, 50, 0.75),
    ],
)
def test_weight_rules_by_hand(rule, epoch, expected):
    assert agent_weight(rule, 2.0, epoch, 100) == pytest.approx(expected)


@pytest.mark.parametrize("rule", ["paper", "annealed", "similarity", 0.5, lambda *_: 0.0])
def test_an_agent_without_a_demonstration_learns_from_itself_alone(rule):
    assert agent_weight(rule, None, 3, 10) == 1.0


@pytest.mark.parametrize("rule", ["linear", 1.5, -0.1, True, None, float("nan")])
def test_unknown_rules_are_refused(rule):
    with pytest.raises(ValueError, match="weight rule"):
        check_weight_rule(rule)


def test_a_callable_must_stay_between_0_and_1():
    with pytest.raises(ValueError, match=r"returned 2\.0"):
        agent_weight(lambda *_: 2.0, 1.0, 0, 10)
