"""Errors of the package. Each message names the offending thing and the remedy."""


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
