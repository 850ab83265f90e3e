"""The slice of one agent: its function, and the statements of the reply that this function leads to."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from rllib_releds.demonstrations.agent_names import function_name, number_in
from rllib_releds.demonstrations.answers.parsing import PARSE_ERRORS
from rllib_releds.demonstrations.answers.rows import Alias, MissingProgramError, Row, names_in
from rllib_releds.demonstrations.answers.syntax import drives_nothing, required_parameters
from rllib_releds.demonstrations.functions import FunctionTable

_GENERIC_NAME = re.compile(
    r"(?:run_|plan_|route_|drive_|control_)?(?:agent|vehicle|plan|run|navigate|main|drive|route|program|policy)(?:_agent|_vehicle)?"
)
_PLAIN_NAME = re.compile(r"(?:agent|vehicle|veh|car)_?\d+", re.IGNORECASE)
# A parameter of this kind is no agent: a model that writes `drive(route)` calls it with one elsewhere.
_ROUTE = re.compile(r"route|node|path|point|stop|junction|edge|road|list|seq|target|dest|goal|step|turn", re.IGNORECASE)
# One of this kind is a number, whatever else the agents are called by.
_NUMBER = re.compile(r".*(?:idx|index|num|number|no|nr)|[a-z]", re.IGNORECASE)
_Function = ast.FunctionDef


@dataclass
class Module:
    """Top-level statements from which programs can be made.

    Attributes:
        table: what programs may call.
        rows: the statements.
        broken: for each function that does not parse, what is wrong with it.
        names_agents: whether functions, or headings, name agents: then `route_3` and the like are helpers.
        headed: whether agents have headings. Then a function without a number is for the agent of its heading.
        functions: the last definition of each function.
        chosen: by agent number, what an alias or a dict such as `{"agent_3": drive_north}` says.
    """

    table: FunctionTable
    rows: Sequence[Row]
    broken: dict[str, str]
    names_agents: bool = False
    headed: bool = False
    functions: dict[str, _Function] = field(default_factory=dict)
    chosen: dict[int, Alias] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [*self.broken, *(row.statement.name for row in self.rows if isinstance(row.statement, _Function))]
        self.names_agents |= self.headed or any(number_in(name) is not None for name in names)
        for row in self.rows:
            if isinstance(row.statement, _Function):
                self.functions[row.statement.name] = row.statement  # a later definition replaces an earlier one
        for row in self.rows:  # a table may stand before its functions
            if isinstance(row.statement, ast.Assign | ast.AnnAssign):
                with contextlib.suppress(*PARSE_ERRORS):  # a lambda too deep to write out again, an int too long
                    self._read_assignment(row.statement, row)

    def program(self, number: int, *, alone: bool, block: int | None = None) -> tuple[str, str]:
        """Source and entry of one agent's program. Raises MissingProgramError.

        Args:
            number: of the agent.
            alone: nobody else is to get a program from these statements.
            block: under the agent's heading.
        """
        entry, wrapper = self._entry(number, alone, block)
        needed = self._needed(names_in(ast.parse(wrapper), self.table) if wrapper else {entry})
        missing = [helper for helper in sorted(needed) if helper in self.broken and helper not in self.functions]
        if missing:
            raise MissingProgramError(
                f"{function_name(number)} needs {missing[0]}, which does not parse: {self.broken[missing[0]]}"
            )
        parts = [
            ast.unparse(row.statement)
            for row, provided in zip(self.rows, self._provided, strict=True)
            if provided & needed
        ]
        source = "\n\n".join([*parts, *([wrapper] if wrapper else [])]) + "\n"
        return source, entry

    def alias(self, number: int) -> Alias | None:
        """What an assignment gives to an agent, if no function is rather meant."""
        chosen = self.chosen.get(number)
        if chosen is None or function_name(number) in self.functions:
            return None
        like = self._like(number)
        return chosen if chosen.names_agent or like is None or required_parameters(like) else None

    def named(self, number: int) -> _Function | None:
        """The function that is called like an agent, such as `agent_3`, `vehicle_3` or `agent3_plan`."""
        return self.functions.get(function_name(number)) or self._like(number)

    def _entry(self, number: int, alone: bool, block: int | None) -> tuple[str, str]:
        """The function to call, and its text if it is one that only calls what the reply defines ("" if it is not)."""
        name = function_name(number)
        if name not in self.functions and name in self.broken:
            raise MissingProgramError(f"{name} does not parse: {self.broken[name]}")
        if alias := self.alias(number):
            return name, f"def {name}():\n    return ({ast.unparse(alias.value)})()"
        function = self.named(number) or (self._generic(alone) if not self.headed else self._headed(block))
        if function is None:
            if any(number in row.agents for row in self.rows):
                raise MissingProgramError(f"{name} is no function of its own; write def {name}(): and its movements")
            raise MissingProgramError(f"there is no function {name}() in the reply")
        read = names_in(function, self.table)
        required = required_parameters(function)
        if self.number_of(function.name) is None and (routes := _routes(function, read)):
            raise MissingProgramError(f"{function.name} takes {routes}; write def {name}(): and its movements")
        if not required:
            return function.name, ""
        if len(required) == 1 and (self.number_of(function.name) is None or required[0] not in read):
            # A generic function gets the agent; an argument that is never read gets anything.
            begin = name if function.name != name else f"{name}_begin"
            return begin, f"def {begin}():\n    return {function.name}({self._identity(function, number)!r})"
        raise MissingProgramError(f"{function.name} must take no arguments, it takes {', '.join(required)}")

    def _identity(self, function: _Function, number: int) -> int | str:
        """How a function for everybody knows the agent: by its number, or by its name where data or tests have that."""
        parameter = (function.args.posonlyargs + function.args.args + function.args.kwonlyargs)[0]
        if isinstance(parameter.annotation, ast.Name) and parameter.annotation.id == "str":
            return function_name(number)
        needed = self._needed({function.name})
        own = [row.statement for row, provided in zip(self.rows, self._provided, strict=True) if provided & needed]
        parts = [part for statement in own for part in ast.walk(statement)]
        is_made = any(isinstance(part, ast.Constant) and part.value == "agent_" for part in parts)
        if is_made or _NUMBER.fullmatch(parameter.arg):
            return number
        keys = [key for part in parts if isinstance(part, ast.Dict) for key in part.keys]
        keys += [key for part in parts if isinstance(part, ast.Compare) for key in (part.left, *part.comparators)]
        texts = (key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str))
        return function_name(number) if any(re.fullmatch(r"agent_\d+", text) for text in texts) else number

    def _like(self, number: int) -> _Function | None:
        """A function under another name with this agent's number in it, such as `vehicle_3` or `agent3_plan`."""
        like = [
            f for f in self.functions.values() if self.number_of(f.name) == number and len(required_parameters(f)) <= 1
        ]
        like = [f for f in like if not required_parameters(f)] or like  # `best_for_vehicle_3(node)` is a helper
        like = [f for f in like if _PLAIN_NAME.fullmatch(f.name)] or like
        return like[-1] if like else None

    def _generic(self, alone: bool) -> _Function | None:
        """One function for everybody, if no function has a number; the last function, if one agent has the reply."""
        if any(self.number_of(name) is not None for name in [*self.functions, *self.broken]) or self.chosen:
            return None
        function = _unnamed(list(self.functions.values()), alone)
        if function is None or alone:
            return function
        if not required_parameters(function) and any(row.agents for row in self.rows):
            return None  # `main()` that calls what the agents have: each would drive the ways of all
        others = [
            row for row in self.rows if isinstance(row.statement, _Function) and row.statement.name == function.name
        ]
        versions = len({ast.dump(row.statement) for row in others})
        # In one block a draft may stand before the final version.
        if versions > 2 or (versions == 2 and len({row.block for row in others}) > 1):
            raise MissingProgramError(
                f"the reply has several functions {function.name}() and does not say which is for which agent"
            )
        return function

    def _headed(self, block: int | None) -> _Function | None:
        """The function under an agent's heading."""
        own = [
            row.statement
            for row in self.rows
            if row.block == block
            and isinstance(row.statement, _Function)
            and self.number_of(row.statement.name) is None
        ]
        return _unnamed([function for function in own if self.functions.get(function.name) is function], alone=True)

    def _read_assignment(self, statement: ast.Assign | ast.AnnAssign, row: Row) -> None:
        """`agent_3 = drive_north`, or `PROGRAMS = {"agent_3": drive_north}`; a lambda does as well."""
        pairs: list[tuple[str, ast.expr, bool]] = []
        if isinstance(statement.value, ast.Dict):
            for key, value in zip(statement.value.keys, statement.value.values, strict=True):
                if not isinstance(key, ast.Constant) or isinstance(key.value, bool):
                    continue
                if isinstance(key.value, int | str):
                    pairs.append((f"agent_{key.value}", value, number_in(str(key.value)) is not None))
        else:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            given = statement.value
            pairs = [(name, given, True) for name in names if given is not None and self.number_of(name) is not None]
        for name, value, names_agent in pairs:
            digits = re.search(r"(\d{1,9})$", name)
            is_function = isinstance(value, ast.Lambda) or (isinstance(value, ast.Name) and value.id in self.functions)
            if not digits or not is_function:
                continue
            ast.unparse(value)  # raises for what cannot be written out
            number = int(digits[1])
            if names_agent or number not in self.chosen or not self.chosen[number].names_agent:
                self.chosen[number] = Alias(value, row.block, names_agent)
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
                    waiting.extend(self.rows[row].used - needed)
        return needed

    @cached_property
    def _provided(self) -> list[set[str]]:
        """Per statement, the names for whose sake it must be kept."""
        return [self._provides(row) for row in self.rows]

    def _provides(self, row: Row) -> set[str]:
        statement = row.statement
        if isinstance(statement, _Function):
            return {statement.name} if self.functions.get(statement.name) is statement else set()
        if isinstance(statement, ast.ClassDef | ast.Import | ast.ImportFrom):
            return row.bound
        # Anything else at top level stays if it prepares data that is needed, and never if it would drive a vehicle.
        driving = row.used & set(self.table.movements) or {
            name for name in row.used if name in self.functions and self.number_of(name) is not None
        }
        drives = driving and not drives_nothing(statement, self.table.movements)
        return set() if drives or "__name__" in row.used else row.bound

    def number_of(self, name: str) -> int | None:
        """The agent that a name means; beside names of agents, `route_3` and the like are helpers."""
        return number_in(name, loosely=not self.names_agents)


def _unnamed(functions: Sequence[_Function], alone: bool) -> _Function | None:
    generic = [function for function in functions if _GENERIC_NAME.fullmatch(function.name)]
    if not generic and alone:
        generic = [function for function in functions if not required_parameters(function)]
    return generic[-1] if generic else None


def _routes(function: _Function, read: set[str]) -> str:
    """Those parameters that cannot mean the agent, as in `drive(route)` or `drive(*nodes)`; "" if there are none."""
    required = required_parameters(function)
    if not required and function.args.vararg is not None and function.args.vararg.arg in read:
        required = [function.args.vararg.arg]
    return ", ".join(required) if len(required) == 1 and required[0] in read and _ROUTE.search(required[0]) else ""
