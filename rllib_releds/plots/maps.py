"""Maps: the road network with the routes that agents and experts took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from rllib_releds.plots.curves import AGENT_COLOR, EXPERT_COLOR
from sumo_marl_env import AgentTrajectory, RoadNetwork


def routes_map(network: RoadNetwork, agents: Sequence[AgentTrajectory], experts: Sequence[AgentTrajectory]) -> Figure:
    """The network twice: routes of the experts on the left, of the agents on the right (Figure 6).

    A street is drawn the wider the more vehicles took it; circles are origins, squares destinations.
    """
    figure = Figure(figsize=(12, 6), layout="constrained")
    panels = (("demonstrations", experts, EXPERT_COLOR), ("agents", agents, AGENT_COLOR))
    for axes, (title, trajectories, color) in zip(figure.subplots(1, 2), panels, strict=True):
        draw_network(axes, network)
        _draw_flows(axes, network, trajectories, color)
        _draw_ends(axes, network, trajectories)
        axes.set_title(f"{title} ({len(trajectories)} trips)")
    return figure


def draw_network(axes: Axes, network: RoadNetwork) -> None:
    """Streets in grey, to scale, without axes."""
    axes.add_collection(LineCollection(list(network.edge_shapes), colors="#ced4da", linewidths=1.0))
    axes.set_aspect("equal")
    axes.autoscale_view()
    axes.set_axis_off()


def _draw_flows(axes: Axes, network: RoadNetwork, trajectories: Iterable[AgentTrajectory], color: str) -> None:
    flow = np.zeros(network.num_edges)
    for trajectory in trajectories:
        np.add.at(flow, trajectory.edges, 1.0)
    used = np.flatnonzero(flow)
    if len(used):
        widths = 1.5 + 4.0 * np.log1p(flow[used]) / np.log1p(flow.max())
        shapes = [network.edge_shapes[edge] for edge in used]
        axes.add_collection(LineCollection(shapes, colors=color, linewidths=list(widths), alpha=0.7))


def _draw_ends(axes: Axes, network: RoadNetwork, trajectories: Iterable[AgentTrajectory]) -> None:
    trips = {trajectory.trip.agent: trajectory.trip for trajectory in trajectories}
    for index, trip in enumerate(trips.values()):
        color = colormaps["tab10"](index % 10)
        for marker, junction in (("o", trip.origin), ("s", trip.destination)):
            axes.plot(*network.junction_xy[junction], marker, color=color, markersize=6, markeredgecolor="white")
