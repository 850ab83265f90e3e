import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import bootstrap, trim_mean
from synthetic import curve

from rllib_releds.reproduction.keeping import thinned
from rllib_releds.reproduction.statistics import (
    band,
    interquartile_mean,
    mean_ratio,
    rolling_mean,
    steps_so_far,
    steps_to_threshold,
    summarise,
)

SCORES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-2000, 1500))


def test_summary_has_mean_and_sample_sd_of_the_runs_means():
    summary = summarise([[1.0, 3.0], [4.0, 6.0], [7.0, 9.0]])
    assert summary.mean == 5.0
    assert summary.sd == pytest.approx(3.0)  # of 2, 5, 8
    assert summary.iqm.value == 5.0  # of 3, 4, 6, 7


def test_a_single_run_has_no_sd_but_an_interval_over_its_episodes():
    summary = summarise([[1.0, 2.0, 3.0, 10.0]])
    assert summary.sd is None
    assert summary.iqm.value == 2.5
    assert summary.iqm.low < 2.5 < summary.iqm.high


@settings(max_examples=20, deadline=None)
@given(SCORES)
def test_interquartile_mean_lies_in_its_interval_and_within_the_scores(scores):
    estimate = interquartile_mean([scores])
    assert scores.min() - 1e-9 <= estimate.low <= estimate.high <= scores.max() + 1e-9
    assert estimate.value == pytest.approx(trim_mean(scores.ravel(), 0.25))


@settings(max_examples=20, deadline=None)
@given(SCORES, st.floats(-100, 100), st.floats(0.1, 10))
def test_intervals_move_and_stretch_with_the_scores(scores, shift, factor):
    before, after = interquartile_mean([scores]), interquartile_mean([factor * scores + shift])
    for name in ("value", "low", "high"):
        assert getattr(after, name) == pytest.approx(factor * getattr(before, name) + shift, abs=1e-6)


def test_interval_over_episodes_alone_is_that_of_scipy():
    scores = np.random.default_rng(0).normal(500.0, 20.0, 40)
    ours = interquartile_mean([[scores]])
    theirs = bootstrap(
        (scores,), lambda x, axis: trim_mean(x, 0.25, axis=axis), method="percentile", n_resamples=2000, rng=1
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=1.0)
    assert ours.high == pytest.approx(theirs.high, abs=1.0)


def test_runs_that_differ_widen_the_interval():
    episodes = np.random.default_rng(0).normal(0.0, 1.0, 20)
    alike = interquartile_mean([[episodes, episodes, episodes]])
    apart = interquartile_mean([[episodes - 50.0, episodes, episodes + 50.0]])
    assert alike.high - alike.low < 3.0
    # 1 of 27 resamples has the lowest run three times, more than 2.5 %.
    assert apart.low < -45.0
    assert apart.high > 45.0


def test_strata_are_never_mixed():
    low, high = np.zeros((3, 4)), np.full((3, 4), 10.0)
    estimate = interquartile_mean([low, high])
    assert (estimate.value, estimate.low, estimate.high) == (5.0, 5.0, 5.0)


def test_strata_are_drawn_independently():
    scores = np.random.default_rng(0).normal(0.0, 1.0, (2, 40))
    alone, both = interquartile_mean([scores]), interquartile_mean([scores, scores])
    assert both.value == pytest.approx(alone.value)
    # Half the variance.
    assert 0.55 < (both.high - both.low) / (alone.high - alone.low) < 0.85


def test_ratio_to_a_driver_in_the_same_traffic_has_no_spread_of_its_own():
    traffic = np.random.default_rng(0).uniform(300.0, 900.0, 20)
    estimate = mean_ratio([0.9 * traffic, 0.9 * traffic], traffic)
    assert estimate.value == pytest.approx(0.9)
    assert estimate.high - estimate.low < 1e-9


def test_a_ratio_is_that_of_the_means_not_the_mean_of_ratios():
    assert mean_ratio([[1.0, 9.0], [1.0, 9.0]], [1.0, 3.0]).value == 2.5


def test_rolling_mean_looks_back_and_leaves_out_what_is_not_there():
    smooth = rolling_mean([np.nan, 2.0, 4.0, np.nan, np.nan, np.nan], window=3)
    assert np.array_equal(smooth, [np.nan, 2.0, 3.0, 3.0, 4.0, np.nan], equal_nan=True)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(1, 40))
def test_rolling_mean_is_the_mean_of_the_last_entries(values, window):
    smooth = rolling_mean(values, window)
    expected = [np.mean(values[max(0, end - window) : end]) for end in range(1, len(values) + 1)]
    assert smooth == pytest.approx(np.array(expected), abs=1e-6)


def test_band_interpolates_within_what_all_runs_cover():
    drawn = band([[0.0, 10.0, 20.0], [5.0, 15.0]], [[0.0, 10.0, 20.0], [9.0, 19.0]], window=1, points=3)
    assert drawn.grid.tolist() == [5.0, 10.0, 15.0]
    assert drawn.mean.tolist() == [7.0, 12.0, 17.0]
    assert drawn.sd == pytest.approx(np.full(3, np.sqrt(8.0)))
    assert drawn.num_runs == 2


def test_band_of_one_run_has_no_width_and_of_nothing_is_none():
    alone = band([[0.0, 1.0]], [[3.0, np.nan]], window=1, points=5)
    assert set(alone.grid) == {0.0}
    assert set(alone.sd) == {0.0}
    assert band([], []) is None
    assert band([[0.0, 1.0]], [[np.nan, np.nan]]) is None
    assert band([[0.0, 1.0], [2.0, 3.0]], [[1.0, 1.0], [1.0, 1.0]]) is None


def test_threshold_is_reached_by_full_windows_only():
    times = [100.0, 900.0, 900.0, 100.0, 100.0, 100.0]
    assert steps_to_threshold(curve(times), 110.0, window=1) == 1000.0
    assert steps_to_threshold(curve(times), 110.0, window=3) == 6000.0
    assert steps_to_threshold(curve(times), 110.0, window=5) is None
    assert steps_to_threshold(curve(times), 1000.0, window=7) is None


def test_threshold_itself_counts_as_reached():
    assert steps_to_threshold(curve([535.5] * 5), 535.5) == 5000.0


def test_steps_of_experts_are_counted_on_request():
    reached = curve(np.full(12, 500.0), expert=True)
    assert steps_to_threshold(reached, 510.0, with_expert_steps=True) == 5200.0
    assert steps_to_threshold(curve(np.full(12, 500.0)), 510.0, with_expert_steps=True) == 5000.0


def test_epochs_without_expert_steps_add_none():
    some = curve(np.full(4, 500.0)).model_copy(update={"expert_interaction_steps": (None, 300.0, None, 500.0)})
    assert steps_so_far(some, with_expert_steps=True).tolist() == [1000.0, 2300.0, 3300.0, 4500.0]


def test_a_reference_in_the_same_traffic_adds_no_spread_to_the_interquartile_mean():
    traffic = np.random.default_rng(0).uniform(300.0, 900.0, (20, 1)) * np.ones(20)
    scores = 0.9 * traffic[:, 0]
    beside = interquartile_mean([[scores], [scores + 0.0]], [traffic[:, 0], traffic[:, 0]])
    alone = interquartile_mean([[scores / traffic[:, 0].mean()]] * 2)
    assert beside.value == pytest.approx(alone.value)
    assert beside.high - beside.low < alone.high - alone.low


def test_windows_of_thinned_curves_have_as_many_epochs_as_those_of_whole_ones():
    whole = curve(np.where(np.arange(500) < 11, 900.0, 500.0))
    assert steps_to_threshold(whole, 550.0) == 16000.0
    thin = thinned(whole)
    assert thin.epochs == (5,) * 100
    # The first five epochs that are all below begin within an entry; it takes the next one.
    assert steps_to_threshold(thin, 550.0) == 20000.0
    assert steps_to_threshold(thin.model_copy(update={"epochs": ()}), 550.0) == 35000.0, "as if each were one epoch"


def test_a_window_over_entries_of_several_epochs_weighs_them_by_their_number():
    thin = curve([300.0, 900.0, 500.0]).model_copy(update={"epochs": (3, 1, 2)})
    # Four epochs before the last: (3 * 300 + 900) / 4; the last five would be cut, so six are taken.
    assert steps_to_threshold(thin, 449.0, window=4) is None
    assert steps_to_threshold(thin, 450.0, window=4) == 2000.0
    assert steps_to_threshold(thin, 467.0, window=5) == 3000.0
    assert steps_to_threshold(thin, 1000.0, window=7) is None
