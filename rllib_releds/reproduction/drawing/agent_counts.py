"""What more agents do to each method: Figure 8 of the paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rllib_releds.plots.curves import tidy
from rllib_releds.reproduction.drawing.styles import (
    YARDSTICK_COLOR,
    YARDSTICK_LINES,
    method_style,
    one_legend,
    rests_on,
    yardstick_handles,
)
from rllib_releds.reproduction.results import Comparison
from rllib_releds.reproduction.tables import DRAWN_YARDSTICKS

GROUP_WIDTH = 0.8


def boxes_over_agents(panels: Sequence[Sequence[Comparison]], methods: Sequence[str], title: str) -> Figure:
    """Mean rewards of evaluation episodes, a group of boxes per number of agents (Figure 8).

    A box has one value per run and episode. Yardsticks are lines across each group: their trips are others for each
    number of agents.

    Args:
        panels: one per setting: its comparisons by number of agents.
        methods: which to draw.
        title: what the figure shows; on what it rests is added.
    """
    widest = max(len(comparisons) for comparisons in panels)
    figure = Figure(figsize=(max(1.5 * widest + 1.5, 5.0) * len(panels), 4.8), layout="constrained")
    for index, (axes, comparisons) in enumerate(zip(figure.subplots(1, len(panels), squeeze=False)[0], panels,
                                                    strict=True)):  # fmt: skip
        there = [name for name in methods if any(name in comparison.runs for comparison in comparisons)]
        for group, comparison in enumerate(comparisons):
            _draw_group(axes, group, comparison, there)
        counts = [str(comparison.trial.num_agents) for comparison in comparisons]
        axes.set_xticks(range(len(counts)), counts)
        axes.set_xlim(-0.6, len(counts) - 0.4)
        axes.set_xlabel("agents")
        axes.set_title(f"({chr(ord('a') + index)}) {comparisons[0].title.rpartition(', ')[0]}")
        tidy(axes)
        axes.grid(axis="x", visible=False)
    figure.axes[0].set_ylabel("mean episode reward")
    everything = [comparison for comparisons in panels for comparison in comparisons]
    episodes = max(comparison.scores(name, "rewards").shape[1] for comparison in everything for name in comparison.runs)
    figure.suptitle(f"{title}\n{rests_on(everything, methods)}, {episodes} episodes each", fontsize=10)
    there = [name for name in DRAWN_YARDSTICKS if any(name in comparison.yardsticks for comparison in everything)]
    drawn = [name for name in methods if any(name in comparison.runs for comparison in everything)]
    boxes = [Patch(facecolor=method_style(name).color, alpha=0.55, label=name) for name in drawn]
    one_legend(figure, more=[*boxes, *yardstick_handles(there)])
    return figure


def _draw_group(axes: Axes, group: int, comparison: Comparison, methods: Sequence[str]) -> None:
    """Every method has its place in every group, also where it was not run."""
    width = GROUP_WIDTH / max(len(methods), 1)
    for place, method in enumerate(methods):
        if method not in comparison.runs:
            continue
        color = method_style(method).color
        axes.boxplot(
            comparison.scores(method, "rewards").ravel(),
            positions=[group - GROUP_WIDTH / 2 + width * (place + 0.5)],
            widths=0.8 * width,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": color, "alpha": 0.55, "edgecolor": color},
            medianprops={"color": "black"},
            whiskerprops={"color": color},
            capprops={"color": color},
            flierprops={"marker": ".", "markersize": 3, "markeredgecolor": color},
        )
    ends = np.array([group - GROUP_WIDTH / 2, group + GROUP_WIDTH / 2])
    for name in DRAWN_YARDSTICKS:
        mean = comparison.yardstick_mean(name, "rewards")
        if mean is not None:
            axes.plot(ends, [mean, mean], color=YARDSTICK_COLOR, linestyle=YARDSTICK_LINES[name], linewidth=1.2)
