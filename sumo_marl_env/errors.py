"""Errors of the package. Each message names the offending thing and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def hint(name: object, known: Iterable[str], words: str = "did you mean") -> str:
    """A question after the known name that is most like this one; "" if none is like it."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"{words} {close[0]!r}?" if close else ""


class RoutingError(Exception):
    """Base class: catch this to catch everything that `sumo_marl_env` raises on purpose."""


class NetworkError(RoutingError):
    """A map file cannot be read, imported or used (broken .osm, no drivable road, unknown network name)."""


class UnknownJunctionError(NetworkError):
    """A junction index or id that the network does not have."""


class NoRouteError(RoutingError):
    """A destination cannot be reached from where the vehicle is."""


class ScenarioError(RoutingError):
    """A scenario cannot be built as asked (no origin-destination pairs of that length, bad demand, bad horizon)."""


class SimulatorError(RoutingError):
    """SUMO failed to start, to load or to advance."""


class EpisodeError(RoutingError):
    """An episode record cannot be read or cannot be simulated again."""


class FetchError(RoutingError):
    """A map cannot be downloaded: the area is too large, the place unknown, the server away, busy or confused."""


class ConfigError(RoutingError):
    """A setting of an environment has an unknown name or a value of the wrong kind."""
