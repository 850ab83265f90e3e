"""Where experts and agents drive: Figure 6 of the paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rllib_releds.plots.maps import draw_network
from rllib_releds.reproduction.drawing.styles import panel_title, rests_on
from rllib_releds.reproduction.results import Comparison
from sumo_marl_env import RoadNetwork, Scenario

# From the first colour that is to be seen beside grey streets on white.
FLOW_COLORS = ListedColormap(colormaps["inferno_r"](np.linspace(0.18, 0.95, 256)))

TRIP_COLOR = "#0072B2"


def flow_maps(comparisons: Sequence[tuple[Comparison, Scenario]], method: str, title: str) -> Figure:
    """Experts (left) and agents (right), one row per setting; colours are log-transformed flows, normalised to [0, 1].

    Counts of all seeds are added. Each panel is normalised by its own busiest edge: experts and agents have different
    numbers of episodes.

    Args:
        comparisons: with their scenarios, for the map and the trips.
        method: whose demonstrations and agents.
        title: what the figure shows; on what it rests is added.
    """
    heights = [5.2 * _height_over_width(scenario.network) + 0.5 for _, scenario in comparisons]
    figure = Figure(figsize=(11.0, sum(heights) + 1.3), layout="constrained")
    panels = figure.subplots(len(comparisons), 2, squeeze=False, height_ratios=heights)
    for index, (comparison, scenario) in enumerate(comparisons):
        runs = comparison.runs[method]
        for axes, who in zip(panels[index], ("expert", "agent"), strict=True):
            counts: Counter[str] = sum((Counter(getattr(run, f"{who}_edge_counts")) for run in runs), Counter())
            _draw_flow(axes, scenario.network, counts)
            _draw_trips(axes, scenario)
            axes.set_title(f"{panel_title(index, comparison)}: {'demonstrations' if who == 'expert' else 'agents'}")
    bar = figure.colorbar(
        ScalarMappable(Normalize(0.0, 1.0), FLOW_COLORS), ax=panels, location="bottom", shrink=0.5, aspect=40
    )
    bar.set_label("flow: log(1 + vehicles), over that of the panel's busiest edge")
    under = rests_on([comparison for comparison, _ in comparisons], [method])
    figure.suptitle(f"{title}\n{under}; rings: origins, squares: destinations", fontsize=10)
    return figure


def normalised_flow(network: RoadNetwork, counts: Mapping[str, int]) -> NDArray[np.float64]:
    """(E,) log(1 + count) of each edge over the largest; zeros without any."""
    flow = np.log1p(np.array([counts.get(edge, 0) for edge in network.edge_ids], dtype=np.float64))
    return flow / flow.max() if flow.any() else flow


def _height_over_width(network: RoadNetwork) -> float:
    width, height = np.ptp(network.junction_xy, axis=0)
    return float(np.clip(height / max(width, 1.0), 0.2, 2.0))


def _draw_flow(axes: Axes, network: RoadNetwork, counts: Mapping[str, int]) -> None:
    draw_network(axes, network)
    flow = normalised_flow(network, counts)
    # The busiest on top: the two directions of a street lie side by side, or on each other.
    used = np.array([edge for edge in np.argsort(flow, kind="stable") if flow[edge] > 0], dtype=np.int64)
    shapes = [network.edge_shapes[edge] for edge in used]
    lines = LineCollection(
        shapes, cmap=FLOW_COLORS, norm=Normalize(0.0, 1.0), linewidths=list(1.2 + 3.3 * flow[used]), capstyle="round"
    )
    lines.set_array(flow[used])
    axes.add_collection(lines)


def _draw_trips(axes: Axes, scenario: Scenario) -> None:
    xy = scenario.network.junction_xy
    # A junction may be both: the square lies in the ring.
    for marker, size, face, edge, junctions in (
        ("o", 8, "white", TRIP_COLOR, [trip.origin for trip in scenario.trips]),
        ("s", 5.5, TRIP_COLOR, "white", [trip.destination for trip in scenario.trips]),
    ):
        axes.plot(*xy[junctions].T, marker, color=face, markersize=size, markeredgecolor=edge, zorder=3)
