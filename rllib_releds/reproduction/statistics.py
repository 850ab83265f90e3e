"""What the tables and figures say of a few training runs: robust means with intervals, curves, samples needed.

Scores of one method in one setting are a matrix (S, E): S training runs (seeds), each evaluated in the same E episodes
(background seeds). Runs and episodes are both draws, and crossed: every run sees the same traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import trim_mean

from rllib_releds.reproduction.trial import Curve

Array = NDArray[np.float64]

RESAMPLES = 2000
CONFIDENCE = 0.95
WINDOW = 5
"""Epochs in a rolling mean, in figures and in `steps_to_threshold` alike."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval.

    Attributes:
        value: from the scores as they are.
        low: lower end of the interval, of `CONFIDENCE`.
        high: upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Scores of one method in one setting.

    Attributes:
        mean: over everything.
        sd: sample standard deviation (divided by S - 1) of the runs' means; None for a single run.
        iqm: interquartile mean over runs and episodes, with its interval.
    """

    mean: float
    sd: float | None
    iqm: Estimate


@dataclass(frozen=True)
class Band:
    """Several runs as one curve.

    Attributes:
        grid: (G,) where; within what all runs cover.
        mean: (G,) over runs.
        sd: (G,) sample standard deviation over runs; zeros for a single run.
        num_runs: how many.
    """

    grid: Array
    mean: Array
    sd: Array
    num_runs: int


def summarise(scores: ArrayLike) -> Summary:
    """Mean with SD and interquartile mean with interval.

    Args:
        scores: (S, E).
    """
    matrix = np.asarray(scores, dtype=np.float64)
    sd = float(np.std(matrix.mean(axis=1), ddof=1)) if len(matrix) > 1 else None
    return Summary(float(matrix.mean()), sd, interquartile_mean([matrix]))


def interquartile_mean(strata: Sequence[ArrayLike], references: Sequence[ArrayLike] | None = None) -> Estimate:
    """Mean of the middle half of all scores, with a stratified bootstrap interval (percentiles).

    Resampled are, in each stratum by itself, the S runs and the E background seeds, both with replacement and
    independently of each other; a resample is the matrix of the drawn runs in the drawn episodes. So the interval
    tells what other training seeds and other traffic would bring, and all runs of a resample meet the same traffic.
    Episodes alone (runs as strata) would say how well these few networks are measured, not how good the method is.
    Few runs underestimate the spread between runs, in variance by about (S - 1) / S: of simulated normal scores with 20
    episodes the interval held the true value in 74 to 97 % of cases with 3 runs (fewest where runs differ far more than
    episodes), in 91 to 95 % with 10. With one run it is the interval of this one run's policies.

    Args:
        strata: one matrix (S, E) per setting; a single setting is a sequence of one.
        references: per setting (E,) of a driver that has no training seed, in the same episodes; scores are divided by
            its mean, in a resample by its mean in the drawn episodes. None leaves the scores as they are.
    """
    matrices = [np.asarray(scores, dtype=np.float64) for scores in strata]
    others = references if references is not None else [np.ones(matrix.shape[1]) for matrix in matrices]
    whole, drawn = [], []
    for number, (matrix, reference) in enumerate(zip(matrices, others, strict=True)):
        other = np.asarray(reference, dtype=np.float64)
        runs, episodes = _draws(matrix.shape, number)
        ratios = matrix[runs[:, :, None], episodes[:, None, :]] / other[episodes].mean(axis=1)[:, None, None]
        drawn.append(ratios.reshape(RESAMPLES, -1))
        whole.append((matrix / other.mean()).ravel())
    value = trim_mean(np.concatenate(whole), 0.25)
    return _estimate(float(value), trim_mean(np.concatenate(drawn, axis=1), 0.25, axis=1))


def mean_ratio(scores: ArrayLike, reference: ArrayLike) -> Estimate:
    """Mean of the scores over the mean of a driver that has no training seed, in the same episodes.

    Resampled as in `interquartile_mean`; the reference in the same drawn episodes, so that traffic that is slow for
    both does not widen the interval.

    Args:
        scores: (S, E).
        reference: (E,).
    """
    matrix, other = np.asarray(scores, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    runs, episodes = _draws(matrix.shape)
    drawn = matrix[runs[:, :, None], episodes[:, None, :]].mean(axis=(1, 2)) / other[episodes].mean(axis=1)
    return _estimate(float(matrix.mean() / other.mean()), drawn)


def rolling_mean(values: ArrayLike, window: int = WINDOW) -> Array:
    """Mean of each entry and those before it, `window` in all; the first entries have fewer.

    NaN entries are left out; a window with nothing else gives NaN.

    Args:
        values: (N,).
        window: 1 or more.
    """
    padded = np.concatenate([np.full(window - 1, np.nan), np.asarray(values, dtype=np.float64)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, window)
    return np.ma.masked_invalid(windows).mean(axis=1).filled(np.nan)


def band(
    places: Sequence[ArrayLike], values: Sequence[ArrayLike], window: int = WINDOW, points: int = 101
) -> Band | None:
    """Smooth each run, bring all onto one grid by linear interpolation, and take mean and SD over runs.

    The grid covers what all runs cover, so nothing is extrapolated and no run drops out half-way.

    Args:
        places: per run, (N,) ascending: interaction steps, or seconds.
        values: per run, (N,); NaN where there is none.
        window: of the rolling mean.
        points: G.

    Returns:
        None where no run has a value, or the runs have no range in common.
    """
    runs = []
    for place, value in zip(places, values, strict=True):
        place, smooth = np.asarray(place, dtype=np.float64), rolling_mean(value, window)
        shown = np.isfinite(place) & np.isfinite(smooth)
        if shown.any():
            runs.append((place[shown], smooth[shown]))
    if not runs:
        return None
    begin, end = max(place[0] for place, _ in runs), min(place[-1] for place, _ in runs)
    if begin > end:
        return None
    grid = np.linspace(begin, end, points)
    on_grid = np.stack([np.interp(grid, place, smooth) for place, smooth in runs])
    sd = on_grid.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(points)
    return Band(grid, on_grid.mean(axis=0), sd, len(runs))


def steps_to_threshold(
    curve: Curve, threshold_s: float, window: int = WINDOW, *, with_expert_steps: bool = False
) -> float | None:
    """Interaction steps until the rolling mean of the training travel time is at most `threshold_s`.

    Only full windows count: a lucky first epoch decides nothing. Where an entry is the mean of several epochs, as in
    kept copies, a window has as few entries as make `window` epochs, and ends where the last of them ends.

    Args:
        curve: of one run.
        threshold_s: seconds, such as 1.05 times the live shortest time's.
        window: epochs.
        with_expert_steps: count the steps of expert episodes too.

    Returns:
        None if it is never reached: the figure is then more than the run's steps.
    """
    times = np.asarray(curve.travel_times_s, dtype=np.float64)
    epochs = np.asarray(curve.epochs or np.ones(len(times)), dtype=np.int64)
    ends = np.cumsum(epochs)
    for last in np.flatnonzero(ends >= window):
        # The fewest entries, this one last, that are a whole window.
        first = int(np.searchsorted(ends - epochs, ends[last] - window, side="right")) - 1
        inside = slice(first, last + 1)
        if np.average(times[inside], weights=epochs[inside]) <= threshold_s:
            return float(steps_so_far(curve, with_expert_steps=with_expert_steps)[last])
    return None


def steps_so_far(curve: Curve, *, with_expert_steps: bool = False) -> Array:
    """(N,) interaction steps at the end of each epoch, on request with those of expert episodes.

    An epoch without a figure of expert steps adds none to those before it.
    """
    steps = np.asarray(curve.interaction_steps, dtype=np.float64)
    if not with_expert_steps:
        return steps
    expert = [0.0 if value is None else value for value in curve.expert_interaction_steps]
    return steps + np.maximum.accumulate(np.asarray(expert, dtype=np.float64))


def floats(values: Sequence[float | None]) -> Array:
    """A column of a curve, with NaN for None."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def flat(name: str, figures: Summary | Estimate | None) -> dict[str, Any]:
    """Entries of a row: those of a `Summary`, or of an `Estimate`, which are None where there is none.

    Args:
        name: what the entries' names begin with.
        figures: what to put in.
    """
    if isinstance(figures, Summary):
        return {name: figures.mean, f"{name}_sd": figures.sd, **flat(f"{name}_iqm", figures.iqm)}
    ends = (None, None, None) if figures is None else (figures.value, figures.low, figures.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def _draws(shape: tuple[int, ...], seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of runs (RESAMPLES, S) and episodes (RESAMPLES, E); equal ones for equal shapes, so results repeat."""
    rng = np.random.default_rng(seed)
    num_runs, num_episodes = shape
    runs = rng.integers(num_runs, size=(RESAMPLES, num_runs))
    return runs, rng.integers(num_episodes, size=(RESAMPLES, num_episodes))


def _estimate(value: float, drawn: Array) -> Estimate:
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high))
