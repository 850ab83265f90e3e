"""Trials of a hyperparameter search: how each learnt, and the final reward over each setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rllib_releds import keys
from rllib_releds.plots.curves import AGENT_COLOR, EXPERT_COLOR, Table, tidy

COLUMNS = 3
LOG_RATIO = 8.0
"""Values that differ by more than this factor get a logarithmic axis."""


def search_figure(
    curves: Mapping[str, Table], parameters: Sequence[Mapping[str, Any]], rewards: Sequence[float]
) -> Figure:
    """Learning curves of all trials, then one panel per setting with the final reward of each trial.

    Args:
        curves: columns epoch and mean_reward by trial, the best first.
        parameters: settings of each trial, all with the same names, the best trial first.
        rewards: final reward of each trial in the same order.
    """
    names = list(parameters[0])
    rows = -(-(1 + len(names)) // COLUMNS)
    figure = Figure(figsize=(4.2 * COLUMNS, 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for index, (trial, curve) in enumerate(curves.items()):
        style: dict[str, Any] = {"color": "#868e96", "alpha": 0.6}
        if not index:
            style = {"color": EXPERT_COLOR, "linewidth": 2, "zorder": 3, "label": f"{trial} (best)"}
        panels[0].plot(curve[keys.EPOCH], curve[keys.MEAN_REWARD], **style)
    panels[0].set_xlabel("epoch")
    panels[0].set_ylabel("mean episode reward")
    if curves:
        panels[0].legend(fontsize=8)
    for axes, name in zip(panels[1:], names, strict=False):
        _scatter(axes, name, [row[name] for row in parameters], rewards)
    for axes in panels[1 + len(names) :]:
        axes.set_axis_off()
    for axes in panels:
        tidy(axes)
    return figure


def _scatter(axes: Axes, name: str, values: Sequence[Any], rewards: Sequence[float]) -> None:
    """Numbers at their place; anything else side by side, in the order of its text."""
    is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    kinds = sorted({str(value) for value in values})
    places = np.array([value if is_number else kinds.index(str(value)) for value in values], float)
    colors = [EXPERT_COLOR] + [AGENT_COLOR] * (len(values) - 1)
    axes.scatter(places, rewards, c=colors, s=24)
    if not is_number:
        axes.set_xticks(range(len(kinds)), kinds, rotation=20)
    elif places.min() > 0 and math.log(places.max() / places.min()) > math.log(LOG_RATIO):
        axes.set_xscale("log")
    axes.set_xlabel(name)
    axes.set_ylabel("final reward")
