"""RELED on RLlib. Importing this package starts nothing; Ray and torch are imported when a name is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rllib_releds.algorithm.config import RELEDConfig
    from rllib_releds.algorithm.reled import RELED
    from rllib_releds.env_adapter import RoutingMultiAgentEnv

__version__ = "0.1.0"

__all__ = ["RELED", "RELEDConfig", "RoutingMultiAgentEnv"]

_HOMES = {
    "RELED": "rllib_releds.algorithm.reled",
    "RELEDConfig": "rllib_releds.algorithm.config",
    "RoutingMultiAgentEnv": "rllib_releds.env_adapter",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
