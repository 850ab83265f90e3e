"""A road network in the words of the initial prompt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sumo_marl_env import NodeID, RoadNetwork


def extent(network: RoadNetwork, nodes: Sequence[NodeID]) -> str:
    """How much of the network is listed."""
    if len(nodes) == network.num_junctions:
        return f"{network.num_junctions} nodes (junctions)."
    return (
        f"{len(nodes)} of the network's {network.num_junctions} nodes (junctions): those that matter most for the "
        "trips below. There are more nodes and roads around them, at the price of longer detours."
    )


def nodes(network: RoadNetwork, listed: Sequence[NodeID]) -> str:
    """One line per node with the roads to other listed nodes."""
    is_listed, lines = set(listed), []
    for junction in listed:
        x, y = network.junction_xy[junction]
        seconds: dict[int, float] = {}
        for edge in network.outgoing[junction]:
            end, free_s = int(network.edge_to[edge]), float(network.free_flow_time_s[edge])
            if end in is_listed:
                seconds[end] = min(free_s, seconds.get(end, free_s))
        ends = ", ".join(f"{end} ({free_s:.0f} s)" for end, free_s in sorted(seconds.items()))
        lines.append(f"{junction} ({x:.0f}, {y:.0f}) -> {ends}")
    return "\n".join(lines)


def turns(network: RoadNetwork, listed: Sequence[NodeID]) -> str:
    """Which turns among the listed nodes do not exist, though both roads do."""
    is_listed = set(listed)
    # Of parallel roads each may lead elsewhere.
    ends: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    for edge in range(network.num_edges):
        start, over = int(network.edge_from[edge]), int(network.edge_to[edge])
        if start in is_listed and over in is_listed:
            ends[start, over] |= {int(network.edge_to[following]) for following in network.successors[edge]}
    turning_back = {over for (start, over), reached in ends.items() if start in reached}
    missing, is_everywhere = set(), True
    for (start, over), reached in ends.items():
        absent = {int(network.edge_to[following]) for following in network.outgoing[over]} & is_listed - reached
        if start in absent and over not in turning_back:
            absent.remove(start)
            is_everywhere = False
        missing |= {(start, over, end) for end in absent}
    text = ""
    if not turning_back:
        text = "No vehicle can turn back to the node that it comes from."
    elif not is_everywhere:
        where = ", ".join(map(str, sorted(turning_back)))
        text = f"A vehicle can turn back to the node that it comes from at these nodes alone: {where}."
    if missing:
        listing = ", ".join("-".join(map(str, turn)) for turn in sorted(missing))
        text += f"\nTurns that do not exist (from-over-to): {listing}"
    return text.strip()
