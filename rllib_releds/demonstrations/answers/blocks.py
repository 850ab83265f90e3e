"""The code blocks of a reply, and which of their statements each agent's program may draw from.

Models write one block per agent, each with a `ROUTE` or a helper of its own, beside blocks that all agents share. So
names mean what an agent's own block says; then what the shared blocks say; then what is left in other agents' blocks.
Above an own block stand the shared blocks of a later answer that mends it.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rllib_releds.demonstrations.answers.cleaning import clean_statement
from rllib_releds.demonstrations.answers.parsing import PARSE_ERRORS, Statements
from rllib_releds.demonstrations.answers.rows import Row
from rllib_releds.demonstrations.answers.slicing import Module
from rllib_releds.demonstrations.answers.syntax import defined_names
from rllib_releds.demonstrations.functions import FunctionTable

_Import = ast.Import | ast.ImportFrom


@dataclass(frozen=True)
class _Block:
    """One piece of code: its cleaned statements, broken functions, and all names that it gives a meaning."""

    rows: Sequence[Row]
    broken: dict[str, str]
    names: frozenset[str]


class Blocks:
    """The code of a reply.

    Args:
        table: what programs may call.
        blocks: the parsed code blocks in their order.
        headings: the agent under whose heading each block stands; None for a block that all share.
        first_new: the place from which on they are of a later answer.
    """

    def __init__(
        self, table: FunctionTable, blocks: Sequence[Statements], headings: Sequence[int | None], *, first_new: int
    ) -> None:
        self._table = table
        self._first_new = first_new
        self._blocks = [_cleaned_block(place, block, table) for place, block in enumerate(blocks)]
        self._heading_of = {number: place for place, number in enumerate(headings) if number is not None}
        self._names_agents = False
        self._whole = self._module(range(len(self._blocks)), [])
        self._names_agents = self._whole.names_agents
        self._has_conflicts = any(count > 1 for count in Counter(n for b in self._blocks for n in b.names).values())
        # Blocks under headings, and those that define an agent's function: not shared by all.
        self._owned = {place for place, number in enumerate(headings) if number is not None} | {
            row.block
            for row in self._whole.rows
            if isinstance(row.statement, ast.FunctionDef) and self._whole.number_of(row.statement.name) is not None
        }
        self._owned |= {place for place in map(self._own_block, self._whole.chosen) if place is not None}

    def program(self, number: int, *, alone: bool) -> tuple[str, str]:
        """Source and entry of an agent's program. Raises MissingProgramError."""
        module = self._whole
        own = self._own_block(number)
        if self._has_conflicts and own is not None:
            places = range(len(self._blocks))
            shared = [place for place in places if place != own and place not in self._owned]
            mending = [place for place in shared if own < self._first_new <= place]
            others = [place for place in places if place not in (own, *shared)]
            module = self._module(others, [[place for place in shared if place not in mending], [own], mending])
        return module.program(number, alone=alone, block=self._heading_of.get(number))

    def _own_block(self, number: int) -> int | None:
        """The block that defines an agent's function, or stands under its heading."""
        whole = self._whole
        function = whole.named(number)
        if alias := whole.alias(number):
            if not isinstance(alias.value, ast.Name) or alias.value.id in self._blocks[alias.block].names:
                return alias.block
            function = whole.functions.get(alias.value.id)
        if function is None:
            return self._heading_of.get(number)
        return next(row.block for row in whole.rows if row.statement is function)

    def _module(self, weakest: Sequence[int], stronger: Sequence[Sequence[int]]) -> Module:
        """The statements of blocks in their order; names of stronger blocks replace those of weaker ones."""
        rows: list[Row] = []
        broken: dict[str, str] = {}
        for places in (weakest, *stronger):
            taken = {name for place in places for name in self._blocks[place].names}
            rows = [row for row in rows if isinstance(row.statement, _Import) or not taken & row.bound]
            broken = {name: error for name, error in broken.items() if name not in taken}
            for place in places:
                rows.extend(self._blocks[place].rows)
                broken.update(self._blocks[place].broken)
        rows.sort(key=lambda row: row.block)
        return Module(self._table, rows, broken, names_agents=self._names_agents, headed=bool(self._heading_of))


def _cleaned_block(place: int, block: Statements, table: FunctionTable) -> _Block:
    broken = dict(block.broken)
    rows: list[Row] = []
    for statement in block.parsed:
        try:
            rows.extend(Row.of(s, table, place) for s in clean_statement(statement, table))
        except PARSE_ERRORS as error:
            broken[getattr(statement, "name", "")] = f"{type(error).__name__}: {error}"
    names = frozenset(broken).union(*(defined_names(row.statement) for row in rows))
    return _Block(rows, broken, names)
