"""What programs are cut from: the cleaned top-level statements of a reply, and what they use and give a meaning."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from rllib_releds.demonstrations.agent_names import number_in
from rllib_releds.demonstrations.answers.syntax import bound_names, defined_names, imported_names
from rllib_releds.demonstrations.functions import FunctionTable


class MissingProgramError(Exception):
    """There is no usable function for an agent."""


@dataclass(frozen=True)
class Row:
    """A cleaned top-level statement.

    Attributes:
        statement: its syntax tree.
        used: names that it reads or binds, without the functions that merely look something up.
        bound: names to which it gives a meaning, or whose value it may change.
        block: the place of its code block in the reply.
        agents: numbers of the agents whose names something in it has that is no function at top level: a method, a
            function in a function, or what a call returned (`agent_3 = make_route(7)`).
    """

    statement: ast.stmt
    used: set[str]
    bound: set[str]
    block: int
    agents: frozenset[int] = frozenset()

    @classmethod
    def of(cls, statement: ast.stmt, table: FunctionTable, block: int) -> Row:
        is_definition = isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom)
        bound = defined_names(statement) if is_definition else bound_names(statement) | imported_names(statement)
        return cls(statement, names_in(statement, table), bound, block, _agents_in(statement))


@dataclass(frozen=True)
class Alias:
    """A function that an assignment gives to an agent.

    Attributes:
        value: a function's name or a lambda.
        block: the place of the assignment's code block in the reply.
        names_agent: whether the agent is named: the numbers in `OPTIONS = {1: by_time}` may mean anything.
    """

    value: ast.expr
    block: int
    names_agent: bool


def names_in(node: ast.AST, table: FunctionTable) -> set[str]:
    """Names that are read or bound, without the functions that merely look something up."""
    queries = set(table.functions) - set(table.movements)
    return {child.id for child in ast.walk(node) if isinstance(child, ast.Name)} - queries


def _agents_in(statement: ast.stmt) -> frozenset[int]:
    names = [part.name for part in ast.walk(statement) if isinstance(part, ast.FunctionDef) and part is not statement]
    if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Call):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return frozenset(number for name in names if (number := number_in(name)) is not None)
