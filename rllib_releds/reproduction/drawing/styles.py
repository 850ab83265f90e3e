"""How methods and yardsticks look: the same in every figure, and to be told apart without seeing colours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rllib_releds.experiments.methods import METHODS
from rllib_releds.reproduction.results import Column, Comparison
from rllib_releds.reproduction.tables import DRAWN_YARDSTICKS


class Style(NamedTuple):
    """Of one method's lines and boxes."""

    color: str
    marker: str


# The colours are of Okabe and Ito, and of Paul Tol's muted scheme.
_CHOSEN = {
    "RELED": Style("#0072B2", "o"),
    "IPPO": Style("#D55E00", "s"),
    "MAPPO": Style("#009E73", "^"),
    "QMIX": Style("#CC79A7", "D"),
    "LEED": Style("#B8860B", "v"),
    "RELED-without-refinement": Style("#56B4E9", "P"),
    "RELED-alpha-0.2": Style("#117733", "<"),
    "RELED-alpha-0.5": Style("#999933", ">"),
    "RELED-logit": Style("#882255", "X"),
    "RELED-without-interfaces": Style("#332288", "p"),
    "RELED-as-printed": Style("#000000", "d"),
}
_OTHERS = ("#AA4499", "#44AA99", "#7F4F24", "#6C757D", "#E7298A", "#66A61E", "#DDCC77", "#CC6677", "#A6CEE3", "#B2DF8A")
_OTHER_MARKERS = ("*", "h", "8", "H", "1", "2", "3", "4", "|", "_")

YARDSTICK_LINES = {"free_flow": (0, (1, 1.5)), "live": (0, (5, 2)), "rerouting": (0, (5, 2, 1, 2))}
YARDSTICK_COLOR = "#495057"

INCHES_PER_LETTER, INCHES_PER_ROW = 0.07, 0.2
"""Of a legend."""


def method_style(name: str) -> Style:
    """The chosen style, or for other methods one that follows from their place among all methods."""
    if name in _CHOSEN:
        return _CHOSEN[name]
    others = [other for other in METHODS if other not in _CHOSEN]
    place = others.index(name) if name in others else len(others)
    return Style(_OTHERS[place % len(_OTHERS)], _OTHER_MARKERS[place % len(_OTHER_MARKERS)])


def draw_yardsticks(axes: Axes, comparison: Comparison, column: Column) -> None:
    """Horizontal lines; nothing for a yardstick that has not been run."""
    for name, label in DRAWN_YARDSTICKS.items():
        mean = comparison.yardstick_mean(name, column)
        if mean is not None:
            axes.axhline(mean, color=YARDSTICK_COLOR, linestyle=YARDSTICK_LINES[name], linewidth=1.2, label=label,
                         zorder=1.5)  # fmt: skip


def one_legend(figure: Figure, more: Iterable[Artist] = ()) -> None:
    """One legend below all panels: each label once, methods in their order, yardsticks last. The figure grows by it."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    last = list(DRAWN_YARDSTICKS.values())
    handles |= {str(artist.get_label()): artist for artist in more}
    order = [*METHODS, *(label for label in handles if label not in (*METHODS, *last)), *last]
    labels = sorted(handles, key=order.index)
    columns = max(2, int(figure.get_figwidth() / (0.8 + INCHES_PER_LETTER * max(map(len, labels)))))
    figure.set_figheight(figure.get_figheight() + INCHES_PER_ROW * -(-len(labels) // columns))
    figure.legend([handles[label] for label in labels], labels, loc="outside lower center", ncols=columns,
                  frameon=False)  # fmt: skip


def yardstick_handles(names: Iterable[str]) -> list[Artist]:
    """For legends of figures in which yardsticks are no lines of their own."""
    return [
        Line2D([], [], color=YARDSTICK_COLOR, linestyle=YARDSTICK_LINES[name], label=DRAWN_YARDSTICKS[name])
        for name in names
    ]


def panel_title(index: int, comparison: Comparison) -> str:
    """(a) gridtown, moderate, 10 agents."""
    return f"({chr(ord('a') + index)}) {comparison.title}"


def rests_on(comparisons: Iterable[Comparison], methods: Iterable[str]) -> str:
    """Encoder, steps and seeds: "combined encoder, 100,000 interaction steps, 3 seeds"."""
    comparisons, methods = list(comparisons), list(methods)
    shown = [one.runs[name] for one in comparisons for name in methods if name in one.runs]
    counts = sorted({len(runs) for runs in shown})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    first = comparisons[0]
    has_experts = any(any(run.curve.expert_interaction_steps) for runs in shown for run in runs)
    steps = f"{first.num_steps:,} interaction steps{' without those of demonstrations' if has_experts else ''}"
    return f"{first.trial.encoder} encoder, {steps}, {seeds} seed{'s' * (counts[-1] > 1)}"
