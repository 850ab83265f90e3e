"""What programs are cut from: the cleaned top-level statements of a reply, and what they use and give a meaning."""

from __future__ import annotations

import ast
from dataclasses import dataclass

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
    """

    statement: ast.stmt
    used: set[str]
    bound: set[str]
    block: int

    @classmethod
    def of(cls, statement: ast.stmt, table: FunctionTable, block: int) -> Row:
        is_definition = isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom)
        bound = defined_names(statement) if is_definition else bound_names(statement) | imported_names(statement)
        return cls(statement, names_in(statement, table), bound, block)


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
