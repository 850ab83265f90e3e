"""Settings of the algorithm that a user gives by name, held against what it knows."""

from __future__ import annotations

import inspect
import math
from difflib import get_close_matches
from typing import Any

from rllib_releds.errors import RunError
from rllib_releds.experiments.runner import build_config
from rllib_releds.experiments.settings import TrainSettings

MAY_BE_NONE = ("grad_clip",)
"""Numbers of which None means without."""


def check_algorithm_settings(settings: TrainSettings) -> None:
    """Find out before a run begins whether the algorithm takes `settings.algorithm`.

    Raises:
        RunError: naming the setting, and what it may be.
    """
    config = build_config(settings.model_copy(update={"algorithm": {}}))
    own = [kind for kind in type(config).__mro__ if kind.__module__.startswith("rllib_releds.")]
    known = {name for kind in own for name in _parameters_of_training(kind)} | set(config.read_of_rllib)
    for name, value in settings.algorithm.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"choose {', '.join(sorted(known))}"
            raise RunError(f"{settings.method} has no setting {name!r}; {remedy}")
        if settings.demonstrator is None and name in config.of_demonstrations:
            raise RunError(f"nobody demonstrates, so {name} would do nothing; leave it out")
        kind = None if value is None and name in MAY_BE_NONE else _wanted(getattr(config, name, None), value)
        if kind is not None:
            raise RunError(f"{name}={value!r}: it must be {kind}")
    try:
        build_config(settings).validate()
    except (TypeError, ValueError) as error:
        raise RunError(str(error)) from error


def _parameters_of_training(kind: type) -> set[str]:
    """By name, those of the method that `kind` itself defines."""
    method = vars(kind).get("training")
    return set(inspect.signature(method).parameters) - {"self", "kwargs"} if method else set()


def _wanted(default: Any, value: Any) -> str | None:
    """What a value should have been, to judge by the default; None if it is that."""
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(default, int | float) and (isinstance(value, bool) or not isinstance(value, int | float)):
        return f"a number, such as {default}"
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if isinstance(default, int) and not isinstance(value, int):
        return f"a whole number, such as {default}"
    return None
