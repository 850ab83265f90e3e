"""The networks that the paper describes, and how near to them an imported one is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sumo_marl_env.errors import NetworkError
from sumo_marl_env.maps.verdict import ImportVerdict


@dataclass(frozen=True)
class PublishedNetwork:
    """Figures of one network as printed.

    Attributes:
        signals: regulated intersections.
        edges: directed edges.
        area_km2: area covered.
        m_out: largest number of ways out of a junction.
    """

    signals: int
    edges: int
    area_km2: float
    m_out: int = 4


PUBLISHED = {
    "orlando": PublishedNetwork(signals=115, edges=269, area_km2=1.99),
    "hong_kong": PublishedNetwork(signals=144, edges=239, area_km2=3.87),
}
"""Every published network by name."""


def compare(verdict: ImportVerdict, name: str) -> dict[str, dict[str, Any]]:
    """The figures of `verdict` beside those of a published network.

    Returns:
        Per figure: `here`, `published`, and `ratio` = here / published.

    Raises:
        NetworkError: if nothing is published under that name.
    """
    if name not in PUBLISHED:
        raise NetworkError(f"no published figures of {name!r}; compare with {' or '.join(PUBLISHED)}")
    figures = vars(PUBLISHED[name])
    return {
        figure: {
            "here": getattr(verdict, figure),
            "published": value,
            "ratio": round(getattr(verdict, figure) / value, 3),
        }
        for figure, value in figures.items()
    }
