"""One program per agent out of a chat model's reply. Nothing is ever executed here.

Each agent gets its own slice of the reply: its function and the helpers, constants and imports that it uses. So one bad
function never fails the others.
"""

from __future__ import annotations

import ast
import contextlib
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from rllib_releds.demonstrations.calls import navigation_functions
from rllib_releds.demonstrations.cleaning import clean_statement
from rllib_releds.demonstrations.replies import (
    PARSE_ERRORS,
    Statements,
    agent_numbers,
    cleaned,
    codes_by_agent,
    parse,
    python_blocks,
    without_thoughts,
)
from sumo_marl_env import MOVE_FUNCTIONS, AgentID

_AGENT_NAME = re.compile(
    r"(?:[a-z]+_)*(?:agent|vehicle|veh|car|program|plan|route)_?0*(\d{1,9})(?:_[a-z]+)*", re.IGNORECASE
)
_GENERIC_NAME = re.compile(
    r"(?:run_|plan_|route_|drive_|control_)?(?:agent|vehicle|plan|run|navigate|main|drive|route|program|policy)(?:_agent|_vehicle)?"
)
_Function = ast.FunctionDef


@dataclass(frozen=True)
class Program:
    """One agent's program.

    Attributes:
        agent: the agent it drives.
        source: Python that defines `entry` and what it needs, and calls nothing.
        entry: name of the function without arguments to call.
    """

    agent: AgentID
    source: str
    entry: str


@dataclass(frozen=True)
class Extraction:
    """What a reply holds.

    Attributes:
        programs: one per agent that has one.
        errors: for every other agent, what is missing or broken, in words for whoever wrote the reply.
    """

    programs: Mapping[AgentID, Program] = field(default_factory=dict)
    errors: Mapping[AgentID, str] = field(default_factory=dict)


def function_name(number: int) -> str:
    """What the function of an agent is called in prompts and replies."""
    return f"agent_{number}"


def extract_programs(reply: str, agents: Sequence[AgentID]) -> Extraction:
    """The programs in a reply.

    Args:
        reply: any text at all.
        agents: the agents that need a program.
    """
    text = cleaned(reply)
    extraction = _extract(without_thoughts(text), agents)
    # A model that ran out of room may have left its only code among its thoughts.
    return extraction if extraction.programs else _extract(text, agents)


def _extract(text: str, agents: Sequence[AgentID]) -> Extraction:
    numbers = agent_numbers(agents)
    codes = codes_by_agent(text)
    programs: dict[AgentID, Program] = {}
    errors: dict[AgentID, str] = {}
    module = None if codes else _Module.of(*(parse(block) for block in python_blocks(text)))
    for number, agent in numbers.items():
        name = function_name(number)
        if module is None and number not in codes:
            errors[agent] = f"there is no code for {name} in the reply"
            continue
        try:
            own = module or _module_of_code(codes[number], name)
            programs[agent] = own.program(agent, number, alone=len(numbers) == 1 or module is None)
        except _MissingError as error:
            errors[agent] = str(error)
        except PARSE_ERRORS as error:
            errors[agent] = f"{name} cannot be read: {type(error).__name__}: {error}"
    return Extraction(programs, errors)


class _MissingError(Exception):
    """There is no usable function for an agent."""


def _module_of_code(code: str, name: str) -> _Module:
    """A JSON value: either a function, or only the body of one."""
    statements = parse(textwrap.dedent(code))
    if (
        not any(isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef) for s in statements.parsed)
        and not statements.broken
    ):
        statements = parse(f"def {name}():\n{textwrap.indent(textwrap.dedent(code), '    ')}\n    pass\n")
    return _Module.of(statements)


@dataclass
class _Module:
    """The cleaned top-level statements of a reply."""

    statements: list[ast.stmt]
    broken: dict[str, str]
    functions: dict[str, _Function] = field(default_factory=dict)
    chosen: dict[int, str] = field(default_factory=dict)
    """By agent number, an expression from a dict such as `{"agent_3": drive_north}`."""
    _provided_cache: list[set[str]] | None = None

    @classmethod
    def of(cls, *blocks: Statements) -> _Module:
        statements: list[ast.stmt] = []
        broken: dict[str, str] = {}
        for block in blocks:
            broken.update(block.broken)
            for statement in block.parsed:
                try:
                    statements.extend(clean_statement(statement))
                except RecursionError as error:
                    broken[getattr(statement, "name", "")] = f"too deeply nested ({error})"
        module = cls(statements, broken)
        for statement in statements:
            if isinstance(statement, _Function):
                module.functions[statement.name] = statement  # a later definition replaces an earlier one
            if isinstance(statement, ast.Assign):
                with contextlib.suppress(RecursionError):  # a lambda too deep to write out again
                    module._read_assignment(statement)
        return module

    def program(self, agent: AgentID, number: int, *, alone: bool) -> Program:
        """The slice of one agent. Raises _MissingError."""
        name = function_name(number)
        entry, wrapper = self._entry(number, alone)
        tree = ast.parse(wrapper)
        needed = self._needed(_names(tree) | {entry})
        missing = [helper for helper in sorted(needed) if helper in self.broken and helper not in self.functions]
        if missing:
            raise _MissingError(f"{name} needs {missing[0]}, which does not parse: {self.broken[missing[0]]}")
        parts = [
            ast.unparse(statement)
            for statement, provided in zip(self.statements, self._provided, strict=True)
            if provided & needed
        ]
        source = "\n\n".join([*parts, *([wrapper] if wrapper else [])]) + "\n"
        return Program(agent, source, name if wrapper else entry)

    def _entry(self, number: int, alone: bool) -> tuple[str, str]:
        """The function to begin with, and the wrapper to call it by ("" if it can be called as it is)."""
        name = function_name(number)
        if name not in self.functions and name in self.broken:
            raise _MissingError(f"{name} does not parse: {self.broken[name]}")
        if name not in self.functions and number in self.chosen:
            return name, f"def {name}():\n    return ({self.chosen[number]})()"
        function = self.functions.get(name) or self._like(number) or self._generic(alone)
        if function is None:
            raise _MissingError(f"there is no function {name}() in the reply")
        required = _required(function)
        if not required:
            return function.name, ""
        is_named = _number_of(function.name) is not None
        if len(required) == 1 and (not is_named or required[0] not in _names(function)):
            # A generic function gets the agent's number; an argument that is never read gets anything.
            inner = function.name if function.name != name else f"{name}_body"
            if inner != function.name:
                self._rename(function, inner)
            return inner, f"def {name}():\n    return {inner}({number})"
        raise _MissingError(f"{function.name} must take no arguments, it takes {', '.join(required)}")

    def _rename(self, function: _Function, name: str) -> None:
        self.functions[name] = self.functions.pop(function.name)
        function.name = name
        self._provided_cache = None

    def _like(self, number: int) -> _Function | None:
        """A function under another name with this agent's number in it, such as `vehicle_3` or `agent3_plan`."""
        like = [f for f in self.functions.values() if _number_of(f.name) == number and len(_required(f)) <= 1]
        return like[-1] if like else None

    def _generic(self, alone: bool) -> _Function | None:
        """One function for everybody, if no function has a number; the last function, if one agent has the reply."""
        if any(_number_of(name) is not None for name in [*self.functions, *self.broken]) or self.chosen:
            return None
        generic = [f for f in self.functions.values() if _GENERIC_NAME.fullmatch(f.name)]
        if not generic and alone:
            generic = [f for f in self.functions.values() if not _required(f)]
        return generic[-1] if generic else None

    def _read_assignment(self, statement: ast.Assign) -> None:
        """`agent_3 = drive_north`, or `PROGRAMS = {"agent_3": drive_north}`; a lambda does as well."""
        pairs: list[tuple[str, ast.expr]] = [
            (t.id, statement.value) for t in statement.targets if isinstance(t, ast.Name)
        ]
        if isinstance(statement.value, ast.Dict):
            rows = zip(statement.value.keys, statement.value.values, strict=True)
            pairs = [(f"agent_{key.value!s}", value) for key, value in rows if isinstance(key, ast.Constant)]
        for name, value in pairs:
            digits = re.search(r"(\d{1,9})$", name)
            is_function = isinstance(value, ast.Name) and value.id in self.functions
            is_agent = isinstance(statement.value, ast.Dict) or _number_of(name) is not None
            if digits and is_agent and (is_function or isinstance(value, ast.Lambda)):
                self.chosen[int(digits[1])] = ast.unparse(value)

    def _needed(self, names: set[str]) -> set[str]:
        """All names that the given ones lead to."""
        providers: dict[str, list[int]] = {}
        for row, provided in enumerate(self._provided):
            for name in provided:
                providers.setdefault(name, []).append(row)
        needed: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed.add(name)
                for row in providers.get(name, ()):
                    waiting.extend(self._used[row] - needed)
        return needed

    @cached_property
    def _used(self) -> list[set[str]]:
        """Per statement, the names in it."""
        return [_names(statement) for statement in self.statements]

    @property
    def _provided(self) -> list[set[str]]:
        """Per statement, the names for whose sake it must be kept."""
        if self._provided_cache is None:
            self._provided_cache = [
                self._provides(statement, used) for statement, used in zip(self.statements, self._used, strict=True)
            ]
        return self._provided_cache

    def _provides(self, statement: ast.stmt, used: set[str]) -> set[str]:
        if isinstance(statement, _Function):
            return {statement.name} if self.functions.get(statement.name) is statement else set()
        if isinstance(statement, ast.ClassDef):
            return {statement.name}
        if isinstance(statement, ast.Import | ast.ImportFrom):
            return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
        # Anything else at top level stays if it prepares data that is needed, and never if it would drive a vehicle.
        drives = used & set(MOVE_FUNCTIONS) or any(_number_of(n) is not None for n in used if n in self.functions)
        return set() if drives or "__name__" in used else _bound(statement)


def _number_of(name: str) -> int | None:
    match = _AGENT_NAME.fullmatch(name)
    return int(match[1]) if match else None


def _required(function: _Function) -> list[str]:
    """Parameters without a default."""
    positional = [*function.args.posonlyargs, *function.args.args]
    positional = positional[: len(positional) - len(function.args.defaults)]
    by_name = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return [parameter.arg for parameter in [*positional, *(p for p, default in by_name if default is None)]]


def _names(node: ast.AST) -> set[str]:
    return {child.id for child in ast.walk(node) if isinstance(child, ast.Name)} - set(navigation_functions()) | {
        child.id for child in ast.walk(node) if isinstance(child, ast.Name) and child.id in MOVE_FUNCTIONS
    }


def _bound(statement: ast.stmt) -> set[str]:
    """Names that a top-level statement assigns, or whose value it may change."""
    stored = {c.id for c in ast.walk(statement) if isinstance(c, ast.Name) and isinstance(c.ctx, ast.Store)}
    changed = {
        child.value.id
        for child in ast.walk(statement)
        if isinstance(child, ast.Attribute | ast.Subscript) and isinstance(child.value, ast.Name)
    }
    return stored | (changed if not isinstance(statement, ast.Assign | ast.AnnAssign) or not stored else set())
