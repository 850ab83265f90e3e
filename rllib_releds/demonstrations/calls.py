"""What programs may call: the functions of Table II, their signatures, and the check of every single call.

The signatures and docstrings of `sumo_marl_env.NavigationFunctions` are the one source of the names, the argument
checks, the type stubs and the table in the prompts.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np

from rllib_releds.demonstrations.errors import CallError
from sumo_marl_env import NavigationFunctions, Navigator, UnknownJunctionError


@dataclass(frozen=True)
class NavigationFunction:
    """One row of Table II.

    Attributes:
        name: the function's name.
        parameters: name of each parameter with its type, `int` (a node id) or `float` (a coordinate).
        returns: annotation of the result as text.
        description: first paragraph of the docstring on one line.
    """

    name: str
    parameters: tuple[tuple[str, type], ...]
    returns: str
    description: str

    @property
    def signature(self) -> str:
        parameters = ", ".join(f"{name}: {kind.__name__}" for name, kind in self.parameters)
        return f"{self.name}({parameters}) -> {self.returns}"


@cache
def navigation_functions() -> Mapping[str, NavigationFunction]:
    """Table II by name, in its order."""
    table = {}
    for name, function in vars(NavigationFunctions).items():
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        signature = inspect.signature(function)
        kinds = {"int": int, "float": float, int: int, float: float}
        parameters = tuple(
            (parameter.name, kinds[parameter.annotation])
            for parameter in list(signature.parameters.values())[1:]  # without self
        )
        description = " ".join((inspect.getdoc(function) or "").split())
        returns = signature.return_annotation
        table[name] = NavigationFunction(
            name, parameters, returns if isinstance(returns, str) else str(returns), description
        )
    return table


def type_stubs() -> str:
    """Stub file of the navigation functions. A node id may be a string or a float there: calls coerce it."""
    loose = {int: "int | float | str", float: "int | float | str"}
    lines = []
    for function in navigation_functions().values():
        parameters = ", ".join(f"{name}: {loose[kind]}" for name, kind in function.parameters)
        lines.append(f"def {function.name}({parameters}) -> {function.returns}: ...")
    return "\n".join(lines) + "\n"


def check_call(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """The arguments of one call, checked and coerced ("5" and 5.0 become 5 where a node id is wanted).

    Raises:
        CallError: unknown function, wrong number or names of arguments, or a value of the wrong kind.
    """
    function = navigation_functions().get(name)
    if function is None:
        known = ", ".join(navigation_functions())
        raise CallError(f"name {name!r} is not defined; the functions you can call are {known}")
    names = [parameter for parameter, _ in function.parameters]
    unknown = sorted(set(kwargs) - set(names[len(args) :]))
    if unknown or len(args) + len(kwargs) != len(names):
        raise CallError(f"call it as {function.signature}; got {len(args)} positional and {sorted(kwargs)} by name")
    values = [*args, *(kwargs[parameter] for parameter in names[len(args) :])]
    return tuple(
        _node_id(name, value) if kind is int else _number(name, value)
        for (_, kind), value in zip(function.parameters, values, strict=True)
    )


class ProgramHost(Protocol):
    """What stands behind the functions that one program calls. Arguments have been checked and coerced before."""

    def answer(self, name: str, values: Sequence[Any]) -> Any:
        """The answer to a `get_*` call. Raises CallError, which the program sees as a ValueError."""

    def check_movement(self, name: str, target: int) -> None:
        """Refuse a `move_to_*` call that nobody can carry out; raises as `answer`."""


class NavigatorHost:
    """One agent's navigator in a running episode.

    Args:
        navigator: the agent's live view.
    """

    def __init__(self, navigator: Navigator) -> None:
        self._navigator = navigator

    def answer(self, name: str, values: Sequence[Any]) -> Any:
        try:
            with np.errstate(over="ignore"):  # coordinates are any numbers: the farthest are infinitely far away
                return getattr(self._navigator, name)(*values)
        except UnknownJunctionError as error:
            raise CallError(f"{name}: {error}") from error

    def check_movement(self, name: str, target: int) -> None:
        self.answer("get_node_coord", [target])


def _node_id(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise CallError(f"{name}: a node id is an int, got {_shown(value)}")
    number = _number(name, value)
    if not number.is_integer():
        raise CallError(f"{name}: a node id is an int, got {_shown(value)}")
    return int(number)


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError):
        raise CallError(f"{name}: expected a number, got {_shown(value)}") from None
    if not math.isfinite(number):
        raise CallError(f"{name}: expected a finite number, got {_shown(value)}")
    return number


def _shown(value: Any) -> str:
    try:
        return f"{type(value).__name__} {str(value)[:40]!r}"
    except (ValueError, RecursionError):  # an int of thousands of digits, a list of thousands of levels
        return f"{type(value).__name__} too large to show"
