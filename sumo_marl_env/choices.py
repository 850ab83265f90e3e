"""What a name, a class or an instance stands for: observations and rewards that users may replace."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sumo_marl_env.errors import ConfigError

if TYPE_CHECKING:
    from sumo_marl_env.scenarios.scenario import Scenario

Made = TypeVar("Made")


def chosen(what: str, choice: Any, by_name: Mapping[str, Callable[[Scenario], Made]], scenario: Scenario) -> Made:
    """The observation or reward that a field of `EnvOptions` asks for.

    Raises:
        ConfigError: if there is none of that name, or the class takes no scenario.
    """
    if isinstance(choice, type | partial):
        try:
            inspect.signature(choice).bind(scenario)
        except (TypeError, ValueError) as error:  # the latter of builtins, which do not say what they take
            raise ConfigError(
                f"{what} {choice!r} is called with the scenario alone ({error}); let it take that, or give an instance"
            ) from error
        return choice(scenario)
    if not isinstance(choice, str):
        return choice
    if choice not in by_name:
        raise ConfigError(f"unknown {what} {choice!r}; choose {', '.join(by_name)}, or give a class or an instance")
    return by_name[choice](scenario)


def numbers(what: str, choice: Any, made: Any, shape: tuple[int, ...]) -> NDArray:
    """What an observation or reward has made, as an array.

    Raises:
        ConfigError: if it is no array of real numbers of that shape.
    """
    wanted = f"and it must be {shape} real numbers"
    try:
        array = np.asarray(made)
    except ValueError as error:
        raise ConfigError(f"{what} {choice!r} returned what makes no array ({error}), {wanted}") from error
    if array.dtype.kind not in "biuf" or array.shape != shape:
        raise ConfigError(f"{what} {choice!r} returned shape {array.shape} of {array.dtype}, {wanted}")
    return array
