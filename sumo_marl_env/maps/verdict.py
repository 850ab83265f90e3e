"""Is an imported map fit for routing? Counts, shares, and a verdict in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sumo_marl_env.errors import NetworkError
from sumo_marl_env.maps.network import RoadNetwork
from sumo_marl_env.maps.raw_map import RawMap

MIN_JUNCTIONS = 4
MIN_SHARE_KEPT = 0.2


@dataclass(frozen=True)
class ImportVerdict:
    """What an import made of a map. Counts are of the part that is kept, in which all edges reach each other.

    Attributes:
        name: the network's name.
        net_file: the SUMO network.
        junctions: number of junctions.
        edges: number of directed edges.
        signals: number of junctions with a traffic signal.
        area_km2: area of the bounding box of the junctions.
        one_way_share: share of the edges without an edge in the opposite direction.
        share_kept: kept edges over all edges that a car may use.
        unreachable_share: share of the origin-destination pairs without a route on the map as it was before that part
            was taken; on the part itself it is 0.
        mean_edge_length_m: metres.
        m_out: largest number of outgoing edges of a junction, the size of the action space.
        choices: number of edges at whose end there is more than one way to go on.
        objections: why the map is hopeless, one sentence each; empty if it is fit.
        advice: what could be better, one sentence each.
    """

    name: str
    net_file: Path
    junctions: int
    edges: int
    signals: int
    area_km2: float
    one_way_share: float
    share_kept: float
    unreachable_share: float
    mean_edge_length_m: float
    m_out: int
    choices: int
    objections: tuple[str, ...]
    advice: tuple[str, ...]

    @property
    def is_fit(self) -> bool:
        """Whether vehicles can be routed on this map."""
        return not self.objections

    @classmethod
    def of(cls, network: RoadNetwork) -> ImportVerdict:
        """Judge `network`; looks into its file to learn what was left out."""
        raw = RawMap.of(network.net_file)
        share_kept = network.num_edges / max(raw.edges, 1)
        choices = sum(len(following) > 1 for following in network.successors)
        signals = int(network.junction_has_signal.sum())
        return cls(
            name=network.name,
            net_file=network.net_file,
            junctions=network.num_junctions,
            edges=network.num_edges,
            signals=signals,
            area_km2=round(network.area_km2, 3),
            one_way_share=round(_one_way_share(network), 3),
            share_kept=round(share_kept, 3),
            unreachable_share=round(raw.unreachable_share, 3),
            mean_edge_length_m=round(float(network.edge_length_m.mean()), 1),
            m_out=network.max_outgoing,
            choices=choices,
            objections=tuple(_objections(network.num_junctions, choices, share_kept)),
            advice=tuple(_advice(signals, share_kept, network.max_outgoing)),
        )

    def raise_if_hopeless(self) -> None:
        """Refuse an unfit map.

        Raises:
            NetworkError: with every objection.
        """
        if not self.is_fit:
            raise NetworkError(f"{self.net_file} is not fit for routing: {' '.join(self.objections)}")

    def in_words(self) -> str:
        """One paragraph for a person."""
        counts = (
            f"{self.name}: {self.junctions} junctions ({self.signals} with signals), {self.edges} edges "
            f"({self.one_way_share:.0%} one-way, {self.mean_edge_length_m:.0f} m on average), {self.area_km2:.2f} km2, "
            f"up to {self.m_out} ways out of a junction. {self.share_kept:.0%} of the drivable edges are kept; "
            f"on all of them, {self.unreachable_share:.0%} of the origin-destination pairs would have no route."
        )
        verdict = "Fit for routing." if self.is_fit else f"Not fit for routing: {' '.join(self.objections)}"
        return " ".join([counts, verdict, *self.advice])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "net_file": str(self.net_file), "is_fit": self.is_fit}


def _one_way_share(network: RoadNetwork) -> float:
    directed = set(zip(network.edge_from.tolist(), network.edge_to.tolist(), strict=True))
    return float(np.mean([(to, start) not in directed for start, to in directed]))


def _objections(junctions: int, choices: int, share_kept: float) -> list[str]:
    objections = []
    if junctions < MIN_JUNCTIONS:
        objections.append(f"It has {junctions} junctions, fewer than {MIN_JUNCTIONS}. Choose a larger area.")
    if choices == 0:
        objections.append(
            "No road leads to a junction with more than one way to go on. Choose an area with more streets."
        )
    if share_kept < MIN_SHARE_KEPT:
        objections.append(
            f"Only {share_kept:.0%} of its roads can reach each other (at least {MIN_SHARE_KEPT:.0%} are needed). "
            "Choose an area that does not cut streets off from each other."
        )
    return objections


def _advice(signals: int, share_kept: float, m_out: int) -> list[str]:
    advice = []
    if signals == 0:
        advice.append(
            "It has no traffic signals. If the city has some, the map does not know them: import a larger area."
        )
    if MIN_SHARE_KEPT <= share_kept < 0.6:
        advice.append("Much of the map is cut off: a larger area usually keeps more of it.")
    if m_out > 6:
        advice.append(f"A junction with {m_out} ways out makes every agent's action space as large.")
    return advice
