"""What programs may call: a table of functions, their signatures, and the check of every single call.

Signatures and docstrings are the one source of the names, the argument checks, the type stubs and the table in the
prompts; those of routing are `sumo_marl_env.NavigationFunctions` (Table II of the paper).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from rllib_releds.demonstrations.errors import CallError
from sumo_marl_env import MOVE_FUNCTIONS, Instruction, NavigationFunctions, Navigator, UnknownJunctionError


@dataclass(frozen=True)
class ProgramFunction:
    """One row of a function table.

    Attributes:
        name: the function's name.
        parameters: name of each parameter with its type, `int` (an id) or `float`.
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


@dataclass(frozen=True)
class FunctionTable:
    """All that a program can reach, beside plain Python.

    Attributes:
        functions: by name, in the order of the prompts.
        movements: names of those at which a program pauses until they are carried out. Each takes one argument, an int.
        instruction: makes what the program waits for from a movement's name and its argument.
    """

    functions: Mapping[str, ProgramFunction]
    movements: tuple[str, ...]
    instruction: Callable[[str, int], Any]

    @classmethod
    def of(
        cls, source: type, movements: Sequence[str], instruction: Callable[[str, int], Any] = Instruction
    ) -> FunctionTable:
        """The public methods of a class; parameters are annotated `int` or `float`, docstrings are one paragraph."""
        table = {}
        for name, function in vars(source).items():
            if name.startswith("_") or not inspect.isfunction(function):
                continue
            signature = inspect.signature(function, eval_str=True)
            parameters = [(one.name, one.annotation) for one in signature.parameters.values()]
            returns = inspect.formatannotation(signature.return_annotation)
            description = " ".join((inspect.getdoc(function) or "").split())
            table[name] = ProgramFunction(name, tuple(parameters[1:]), returns, description)  # without self
        return cls(table, tuple(movements), instruction)

    def __contains__(self, name: object) -> bool:
        return name in self.functions

    def type_stubs(self) -> str:
        """Stub file of the functions. An int may be a string or a float there: calls coerce it."""
        loose = {int: "int | float | str", float: "int | float | str"}
        lines = []
        for function in self.functions.values():
            parameters = ", ".join(f"{name}: {loose[kind]}" for name, kind in function.parameters)
            lines.append(f"def {function.name}({parameters}) -> {function.returns}: ...")
        return "\n".join(lines) + "\n"

    def check_call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """The arguments of one call, checked and coerced ("5" and 5.0 become 5 where an int is wanted).

        Raises:
            CallError: unknown function, wrong number or names of arguments, or a value of the wrong kind.
        """
        function = self.functions.get(name)
        if function is None:
            known = ", ".join(self.functions)
            raise CallError(f"name {name!r} is not defined; the functions you can call are {known}")
        if kwargs or len(args) != len(function.parameters):
            args = _in_order(function, args, kwargs)
        return tuple(_coerced(name, value, kind) for (_, kind), value in zip(function.parameters, args, strict=True))


@cache
def routing_functions() -> FunctionTable:
    """Table II of the paper."""
    return FunctionTable.of(NavigationFunctions, MOVE_FUNCTIONS)


class ProgramHost(Protocol):
    """What stands behind the functions that one program calls. Arguments have been checked and coerced before."""

    def answer(self, name: str, values: Sequence[Any]) -> Any:
        """The answer to a `get_*` call. Raises CallError, which the program sees as a ValueError."""

    def check_movement(self, name: str, target: int) -> None:
        """Refuse a `move_to_*` call that nobody can carry out; raises as `answer`."""

    def is_certain(self, name: str) -> bool:
        """Whether a call of `name` gets the same answer whenever it is made; of a movement, whether it always succeeds.

        Then a program need not wait for it.
        """

    def is_last(self, target: int) -> bool:
        """Whether the agent's task ends where this movement leads: what its program does then is never carried out."""


class NavigatorHost:
    """One agent's navigator in a running episode.

    Args:
        navigator: the agent's live view.
    """

    def __init__(self, navigator: Navigator) -> None:
        self._navigator = navigator

    def answer(self, name: str, values: Sequence[Any]) -> Any:
        return self._ask(name, values, name)

    def check_movement(self, name: str, target: int) -> None:
        self._ask("get_node_coord", [target], name)

    def _ask(self, function: str, values: Sequence[Any], called: str) -> Any:
        """The answer of one function in a call of another one or itself."""
        try:
            return getattr(self._navigator, function)(*values)
        except UnknownJunctionError as error:
            raise CallError(f"{called}: {error}") from error

    def is_certain(self, name: str) -> bool:
        # Every edge of a network reaches every other one, so no movement fails.
        return name not in ("get_shortest_dist", "get_shortest_time")

    def is_last(self, target: int) -> bool:
        return target == self._navigator.get_destination()


def _in_order(function: ProgramFunction, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Sequence[Any]:
    """All arguments of a call by their position."""
    by_name = [name for name, _ in function.parameters[len(args) :]]
    if set(kwargs) != set(by_name) or len(args) > len(function.parameters):
        raise CallError(f"call it as {function.signature}; got {len(args)} positional and {sorted(kwargs)} by name")
    return [*args, *(kwargs[name] for name in by_name)]


def _coerced(name: str, value: Any, kind: type) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
        if not math.isfinite(number) or (kind is int and not number.is_integer()):
            raise ValueError
    except (ValueError, OverflowError):
        wanted = "an int, as node ids are" if kind is int else "a finite number"
        raise CallError(f"{name}: expected {wanted}, got {_shown(value)}") from None
    if kind is float:
        return number
    return value if isinstance(value, int) else int(number)


def _shown(value: Any) -> str:
    kind = type(value).__name__
    if not isinstance(value, int | float | str):
        # A list that holds one list twice, and that another one twice, and so on, is small here and endless as text.
        return kind
    try:
        return f"{kind} {str(value)[:40]!r}"
    except ValueError:  # an int of thousands of digits
        return f"{kind} too large to show"
