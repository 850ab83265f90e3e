"""What a name, a class or an instance stands for: observations and rewards that users may replace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sumo_marl_env.errors import ConfigError

if TYPE_CHECKING:
    from sumo_marl_env.scenarios.scenario import Scenario

Made = TypeVar("Made")


def chosen(what: str, choice: Any, by_name: Mapping[str, Callable[[Scenario], Made]], scenario: Scenario) -> Made:
    """The observation or reward that a field of `EnvOptions` asks for.

    Raises:
        ConfigError: if there is none of that name.
    """
    if not isinstance(choice, str):
        return choice(scenario) if isinstance(choice, type | partial) else choice
    if choice not in by_name:
        raise ConfigError(f"unknown {what} {choice!r}; choose {', '.join(by_name)}, or give a class or an instance")
    return by_name[choice](scenario)
