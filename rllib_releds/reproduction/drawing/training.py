"""Training of several methods side by side: Figures 4, 5, 7 and 9 of the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from numpy.typing import ArrayLike

from rllib_releds.plots.curves import EXPERT_COLOR, tidy
from rllib_releds.reproduction.drawing.styles import (
    YARDSTICK_COLOR,
    draw_yardsticks,
    method_style,
    one_legend,
    panel_title,
    rests_on,
)
from rllib_releds.reproduction.results import Column, Comparison
from rllib_releds.reproduction.sample_efficiency import TOLERANCE
from rllib_releds.reproduction.statistics import WINDOW, Band, band, floats
from rllib_releds.reproduction.trial import Curve

PANEL_INCHES = 4.2
MARKERS = 8
SECONDS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
"""Where a log scale has ticks, times a power of ten."""

Place = Callable[[Curve], ArrayLike]


def learning_curves(comparisons: Sequence[Comparison], methods: Sequence[str], title: str) -> Figure:
    """Reward (above) and travel time (below) against interaction steps, a column per setting (Figures 4 and 9).

    Args:
        comparisons: one or more, of one encoder and budget.
        methods: which to draw; those that a setting does not have are left out there.
        title: what the figure shows; on what it rests is added.
    """
    single = len(comparisons) == 1
    figure = _wide_figure(2, rows=1) if single else _wide_figure(len(comparisons), rows=2)
    panels = figure.subplots(1, 2).reshape(2, 1) if single else figure.subplots(2, len(comparisons))
    for index, comparison in enumerate(comparisons):
        reward, travel_time = panels[:, index]
        _draw(reward, comparison, methods, "rewards", _thousands)
        _draw(travel_time, comparison, methods, "travel_times_s", _thousands)
        _show_the_end(travel_time, comparison, methods)
        for axes in (reward, travel_time) if single else (reward,):
            axes.set_title(panel_title(index, comparison))
        for axes in (reward, travel_time) if single else (travel_time,):
            axes.set_xlabel("interaction steps (thousands)")
    panels[0, 0].set_ylabel("mean episode reward")
    panels[1, 0].set_ylabel("mean travel time (s, log scale)")
    return _finished(figure, comparisons, methods, title, more="; travel times are cut off above")


def wall_clock(comparisons: Sequence[Comparison], methods: Sequence[str], title: str) -> Figure:
    """Reward against minutes of training, a column per setting (Figure 5)."""
    figure = _wide_figure(len(comparisons), rows=1)
    panels = figure.subplots(1, len(comparisons), squeeze=False)[0]
    for index, (axes, comparison) in enumerate(zip(panels, comparisons, strict=True)):
        _draw(axes, comparison, methods, "rewards", _minutes)
        axes.set_title(panel_title(index, comparison))
        axes.set_xlabel("wall-clock time (minutes)")
    panels[0].set_ylabel("mean episode reward")
    return _finished(figure, comparisons, methods, title)


def dtw_and_reward(comparisons: Sequence[Comparison], method: str, title: str) -> Figure:
    """DTW distance to the demonstrations (left axis) and reward (right axis), a column per setting (Figure 7)."""
    figure = _wide_figure(len(comparisons), rows=1)
    panels = figure.subplots(1, len(comparisons), squeeze=False)[0]
    for index, (distance, comparison) in enumerate(zip(panels, comparisons, strict=True)):
        reward = distance.twinx()
        curves = [run.curve for run in comparison.runs[method]]
        drawn = band([_thousands(curve) for curve in curves], [floats(curve.dtw_m) for curve in curves])
        if drawn is not None:
            _draw_band(distance, drawn, EXPERT_COLOR, "d", "DTW distance")
        _draw(reward, comparison, [method], "rewards", _thousands, label="reward")
        tidy(distance)
        reward.grid(False)
        reward.spines["right"].set_visible(True)
        distance.set_ylim(bottom=0.0)
        distance.set_title(panel_title(index, comparison))
        distance.set_xlabel("interaction steps (thousands)")
        distance.tick_params(axis="y", colors=EXPERT_COLOR)
        reward.tick_params(axis="y", colors=method_style(method).color)
    panels[0].set_ylabel("DTW distance (m)", color=EXPERT_COLOR)
    figure.axes[-1].set_ylabel("mean episode reward", color=method_style(method).color)
    return _finished(figure, comparisons, [method], title)


def _draw(
    axes: Axes, comparison: Comparison, methods: Sequence[str], column: Column, place: Place, label: str | None = None
) -> None:
    """Bands of all methods, the first of them on top, and the yardsticks."""
    for method in reversed(methods):
        curves = [run.curve for run in comparison.runs.get(method, ())]
        drawn = band([place(curve) for curve in curves], [getattr(curve, column) for curve in curves])
        if drawn is not None:
            _draw_band(axes, drawn, *method_style(method), label or method)
    draw_yardsticks(axes, comparison, column)
    tidy(axes)


def _draw_band(axes: Axes, drawn: Band, color: str, marker: str, label: str) -> None:
    spacing = max(1, len(drawn.grid) // MARKERS)
    axes.plot(drawn.grid, drawn.mean, color=color, marker=marker, markersize=4.5, markevery=spacing, linewidth=1.7,
              label=label)  # fmt: skip
    if drawn.num_runs > 1:
        axes.fill_between(
            drawn.grid, drawn.mean - drawn.sd, drawn.mean + drawn.sd, color=color, alpha=0.16, linewidth=0
        )


def _wide_figure(columns: int, rows: int) -> Figure:
    return Figure(figsize=(max(PANEL_INCHES * columns, 10.0), 3.1 * rows + 1.0), layout="constrained")


def _finished(
    figure: Figure, comparisons: Sequence[Comparison], methods: Sequence[str], title: str, more: str = ""
) -> Figure:
    several = any(len(one.runs.get(method, ())) > 1 for one in comparisons for method in methods)
    under = f"means of {WINDOW} epochs{', band: ± SD over seeds' if several else ''}{more}"
    figure.suptitle(f"{title}\n{rests_on(comparisons, methods)}\n{under}", fontsize=10)
    one_legend(figure)
    return figure


def _thousands(curve: Curve) -> ArrayLike:
    return np.asarray(curve.interaction_steps) / 1000.0


def _minutes(curve: Curve) -> ArrayLike:
    return np.asarray(curve.wall_s) / 60.0


def _show_the_end(axes: Axes, comparison: Comparison, methods: Sequence[str]) -> None:
    """A log scale with plain seconds, which leaves out the first epochs: they would hide how trained agents differ.

    It reaches to twice the live shortest time, or as far as the slowest method is at its end. Rewards show everything.
    """
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=SECONDS))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_minor_locator(NullLocator())
    live = comparison.yardstick_mean("live", "travel_times_s")
    if live is not None:
        axes.axhspan(live, TOLERANCE * live, color=YARDSTICK_COLOR, alpha=0.13, linewidth=0, zorder=1.0,
                     label="within 5 % of live traffic")  # fmt: skip
    ends = [float(np.asarray(line.get_ydata())[-1]) for line in axes.lines if line.get_label() in methods]
    if live is not None and ends:
        axes.set_ylim(top=min(max(2.0 * live, 1.15 * max(ends)), axes.get_ylim()[1]))
