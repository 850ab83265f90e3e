"""Curves over training: reward and travel time; DTW distance and agent_weight."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rllib_releds import keys

Table = Mapping[str, NDArray[np.float64]]
"""Columns of metrics.csv by name, one entry per epoch, NaN where there is no value."""

AGENT_COLOR, EXPERT_COLOR, YARDSTICK_COLORS = "#0b5fa5", "#d9480f", ("#868e96", "#2b8a3e", "#862e9c")


def learning_curve(table: Table, yardsticks: Mapping[str, Mapping[str, float]]) -> Figure:
    """Mean reward and mean travel time of the agents, with the demonstrations and the yardsticks drawn in.

    Args:
        table: columns interaction_steps_lifetime, mean_reward, mean_travel_time_s, and, where there are demonstrations,
            expert_mean_reward and expert_mean_travel_time_s.
        yardsticks: mean_reward and mean_travel_time_s by name of the yardstick.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = ((keys.MEAN_REWARD, keys.EXPERT_REWARD, "mean episode reward"),
              (keys.MEAN_TRAVEL_TIME_S, keys.EXPERT_TRAVEL_TIME_S, "mean travel time (s)"))  # fmt: skip
    for axes, (agent, expert, label) in zip(figure.subplots(1, 2), panels, strict=True):
        steps = table[keys.INTERACTION_STEPS_LIFETIME] / 1000.0
        axes.plot(steps, table[agent], color=AGENT_COLOR, label="agents")
        if expert in table:
            shown = np.isfinite(table[expert])
            axes.plot(steps[shown], table[expert][shown], color=EXPERT_COLOR, label="demonstrations")
        for color, (name, summary) in zip(YARDSTICK_COLORS, yardsticks.items(), strict=False):
            axes.axhline(summary[agent], color=color, linestyle="--", linewidth=1, label=name)
        axes.set_xlabel("interaction steps (thousands)")
        axes.set_ylabel(label)
        tidy(axes)
    figure.axes[1].legend(fontsize=8)
    return figure


def dtw_and_weight(table: Table) -> Figure:
    """DTW distance between agents' and experts' paths (left axis) and agent_weight (right axis), per epoch."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    distance = figure.subplots()
    weight = distance.twinx()
    distance.plot(table[keys.EPOCH], table[keys.DTW_M], color=EXPERT_COLOR, label="DTW distance")
    weight.plot(table[keys.EPOCH], table[keys.AGENT_WEIGHT], color=AGENT_COLOR, label="agent_weight")
    distance.set_xlabel("epoch")
    distance.set_ylabel("DTW distance (m)", color=EXPERT_COLOR)
    weight.set_ylabel("agent_weight", color=AGENT_COLOR)
    weight.set_ylim(0.0, 1.05)
    tidy(distance)
    return figure


def tidy(axes: Axes) -> None:
    """A light grid, and no frame at the top and on the right."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
