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

from rllib_releds.demonstrations.calls import FunctionTable, routing_functions
from rllib_releds.demonstrations.cleaning import clean_statement
from rllib_releds.demonstrations.replies import (
    PARSE_ERRORS,
    Statements,
    agent_numbers,
    cleaned,
    codes_by_agent,
    number_in,
    parse,
    python_blocks,
    without_thoughts,
)
from rllib_releds.demonstrations.syntax import bound_names, is_table, required_parameters
from sumo_marl_env import AgentID

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


def extract_programs(
    reply: str,
    agents: Sequence[AgentID],
    functions: FunctionTable | None = None,
    wanted: Sequence[AgentID] | None = None,
) -> Extraction:
    """The programs in a reply.

    Args:
        reply: any text at all.
        agents: all agents that the prompt named: they decide which number means which agent.
        functions: what programs may call; None for routing.
        wanted: the agents that need a program; None for all.
    """
    functions = functions or routing_functions()
    text = cleaned(reply)
    numbers = {number: agent for number, agent in agent_numbers(agents).items() if wanted is None or agent in wanted}
    extraction = _extract(without_thoughts(text), numbers, functions)
    # A model that ran out of room may have left its only code among its thoughts.
    return extraction if extraction.programs else _extract(text, numbers, functions)


def _extract(text: str, numbers: Mapping[int, AgentID], functions: FunctionTable) -> Extraction:
    codes = codes_by_agent(text)
    programs: dict[AgentID, Program] = {}
    errors: dict[AgentID, str] = {}
    module = None if codes else _Module.of(functions, *(parse(block) for block in python_blocks(text)))
    for number, agent in numbers.items():
        name = function_name(number)
        if module is None and number not in codes:
            errors[agent] = f"there is no code for {name} in the reply"
            continue
        try:
            own = module or _module_of_code(codes[number], name, functions)
            programs[agent] = own.program(agent, number, alone=len(numbers) == 1 or module is None)
        except _MissingError as error:
            errors[agent] = str(error)
        except PARSE_ERRORS as error:
            errors[agent] = f"{name} cannot be read: {type(error).__name__}: {error}"
    return Extraction(programs, errors)


class _MissingError(Exception):
    """There is no usable function for an agent."""


def _module_of_code(code: str, name: str, functions: FunctionTable) -> _Module:
    """A JSON value: either a function, or only the body of one."""
    statements = parse(textwrap.dedent(code))
    if (
        not any(isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef) for s in statements.parsed)
        and not statements.broken
    ):
        statements = parse(f"def {name}():\n{textwrap.indent(textwrap.dedent(code), '    ')}\n    pass\n")
    return _Module.of(functions, statements)


@dataclass
class _Module:
    """The cleaned top-level statements of a reply."""

    callable: FunctionTable
    statements: list[ast.stmt]
    broken: dict[str, str]
    functions: dict[str, _Function] = field(default_factory=dict)
    chosen: dict[int, str] = field(default_factory=dict)
    """By agent number, an expression from a dict such as `{"agent_3": drive_north}`."""
    names_agents: bool = False
    """Whether some function, or its alias, is called like an agent."""
    _provided_cache: list[set[str]] | None = None

    @classmethod
    def of(cls, callable: FunctionTable, *blocks: Statements) -> _Module:
        statements: list[ast.stmt] = []
        broken: dict[str, str] = {}
        for block in blocks:
            broken.update(block.broken)
            for statement in block.parsed:
                try:
                    statements.extend(clean_statement(statement, callable))
                except PARSE_ERRORS as error:
                    broken[getattr(statement, "name", "")] = f"{type(error).__name__}: {error}"
        module = cls(callable, statements, broken)
        names = [*broken, *(statement.name for statement in statements if isinstance(statement, _Function))]
        module.names_agents = any(number_in(name) is not None for name in names)
        for statement in statements:
            if isinstance(statement, _Function):
                module.functions[statement.name] = statement  # a later definition replaces an earlier one
            if isinstance(statement, ast.Assign):
                with contextlib.suppress(*PARSE_ERRORS):  # a lambda too deep to write out again, an int too long
                    module._read_assignment(statement)
        return module

    def program(self, agent: AgentID, number: int, *, alone: bool) -> Program:
        """The slice of one agent. Raises _MissingError."""
        name = function_name(number)
        entry, wrapper = self._entry(number, alone)
        tree = ast.parse(wrapper)
        needed = self._needed(self._names(tree) | {entry})
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
        required = required_parameters(function)
        if not required:
            return function.name, ""
        is_named = self._number_of(function.name) is not None
        if len(required) == 1 and (not is_named or required[0] not in self._names(function)):
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
        like = [
            f for f in self.functions.values() if self._number_of(f.name) == number and len(required_parameters(f)) <= 1
        ]
        return like[-1] if like else None

    def _generic(self, alone: bool) -> _Function | None:
        """One function for everybody, if no function has a number; the last function, if one agent has the reply."""
        if any(self._number_of(name) is not None for name in [*self.functions, *self.broken]) or self.chosen:
            return None
        generic = [f for f in self.functions.values() if _GENERIC_NAME.fullmatch(f.name)]
        if not generic and alone:
            generic = [f for f in self.functions.values() if not required_parameters(f)]
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
            is_agent = isinstance(statement.value, ast.Dict) or self._number_of(name) is not None
            if digits and is_agent and (is_function or isinstance(value, ast.Lambda)):
                self.chosen[int(digits[1])] = ast.unparse(value)
                self.names_agents |= number_in(name) is not None

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
        return [self._names(statement) for statement in self.statements]

    @property
    def _provided(self) -> list[set[str]]:
        """Per statement, the names for whose sake it must be kept."""
        if self._provided_cache is None:
            self._provided_cache = [
                self._provides(statement, used) for statement, used in zip(self.statements, self._used, strict=True)
            ]
        return self._provided_cache

    def _names(self, node: ast.AST) -> set[str]:
        """Names that are read or bound, without the functions that merely look something up."""
        queries = set(self.callable.functions) - set(self.callable.movements)
        return {child.id for child in ast.walk(node) if isinstance(child, ast.Name)} - queries

    def _provides(self, statement: ast.stmt, used: set[str]) -> set[str]:
        if isinstance(statement, _Function):
            return {statement.name} if self.functions.get(statement.name) is statement else set()
        if isinstance(statement, ast.ClassDef):
            return {statement.name}
        if isinstance(statement, ast.Import | ast.ImportFrom):
            return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
        # Anything else at top level stays if it prepares data that is needed, and never if it would drive a vehicle.
        driving = used & set(self.callable.movements) or {
            name for name in used if name in self.functions and self._number_of(name) is not None
        }
        return set() if (driving and not is_table(statement)) or "__name__" in used else bound_names(statement)

    def _number_of(self, name: str) -> int | None:
        """The agent that a name means; beside names of agents, `route_3` and the like are helpers."""
        return number_in(name, loosely=not self.names_agents)
