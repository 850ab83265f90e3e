"""One program per agent out of a chat model's reply. Nothing is ever executed here.

Each agent gets its own slice of the reply: its function and the helpers, constants and imports that it uses. So one bad
function never fails the others.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rllib_releds.demonstrations.agent_names import agent_numbers, function_name, number_in
from rllib_releds.demonstrations.answers.blocks import Blocks
from rllib_releds.demonstrations.answers.json_codes import codes_by_agent
from rllib_releds.demonstrations.answers.parsing import PARSE_ERRORS, Statements, parse
from rllib_releds.demonstrations.answers.replies import cleaned, code_blocks, without_thoughts
from rllib_releds.demonstrations.answers.rows import MissingProgramError, names_in
from rllib_releds.demonstrations.functions import FunctionTable, routing_functions
from sumo_marl_env import AgentID

MAX_STATEMENTS = 5000
"""Of all code in a reply, at top level; what stands behind them is not read."""


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

    def moves(self, functions: FunctionTable) -> bool:
        """Whether any of its parts names a movement; without one it cannot get anywhere."""
        try:
            names = names_in(ast.parse(self.source), functions)
        except PARSE_ERRORS:  # where the sandbox's parser goes deeper
            return True
        return bool(names & set(functions.movements))


@dataclass(frozen=True)
class Extraction:
    """What a reply holds.

    Attributes:
        programs: one per agent that has one.
        errors: for every other agent, what is missing or broken, in words for whoever wrote the reply.
    """

    programs: Mapping[AgentID, Program] = field(default_factory=dict)
    errors: Mapping[AgentID, str] = field(default_factory=dict)


def extract_programs(
    reply: str,
    agents: Sequence[AgentID],
    functions: FunctionTable | None = None,
    wanted: Sequence[AgentID] | None = None,
    *,
    earlier: str = "",
) -> Extraction:
    """The programs in a reply.

    Args:
        reply: any text at all.
        agents: all agents that the prompt named: they decide which number means which agent.
        functions: what programs may call; None for routing.
        wanted: the agents that need a program; None for all.
        earlier: the answer that `reply` mends: what it defines counts where `reply` says nothing else.
    """
    functions = functions or routing_functions()
    text, before = cleaned(reply), cleaned(earlier)
    if code_blocks(without_thoughts(before)):
        before = without_thoughts(before)
    numbers = {number: agent for number, agent in agent_numbers(agents).items() if wanted is None or agent in wanted}
    extraction = _extract(without_thoughts(text), before, numbers, functions)
    # A model that ran out of room may have left its only code among its thoughts.
    return extraction if extraction.programs else _extract(text, before, numbers, functions)


def _extract(text: str, earlier: str, numbers: Mapping[int, AgentID], functions: FunctionTable) -> Extraction:
    codes = codes_by_agent(f"{earlier}\n\n{text}")
    reply = None if codes else _blocks(text, earlier, functions)
    programs: dict[AgentID, Program] = {}
    errors: dict[AgentID, str] = {}
    for number, agent in numbers.items():
        name = function_name(number)
        if reply is None and number not in codes:
            errors[agent] = f"there is no code for {name} in the reply"
            continue
        try:
            own = reply or Blocks(functions, [_statements(codes[number], number)], [None], first_new=0)
            source, entry = own.program(number, alone=len(numbers) == 1 or reply is None)
            programs[agent] = Program(agent, source, entry)
        except MissingProgramError as error:
            errors[agent] = str(error)
        except PARSE_ERRORS as error:
            errors[agent] = f"{name} cannot be read: {type(error).__name__}: {error}"
    return Extraction(programs, errors)


def _blocks(text: str, earlier: str, functions: FunctionTable) -> Blocks:
    old = code_blocks(earlier)
    codes = [*old, *code_blocks(text)]
    blocks = [parse(code) for code, _ in codes]
    left = MAX_STATEMENTS
    for block in blocks:
        del block.parsed[left:]
        left -= len(block.parsed)
    named = {number_in(name) for block in blocks for name in block.function_names}
    for place, (code, number) in enumerate(codes):
        if number is not None and number not in named:  # else a heading above some lines of the agent's function
            blocks[place] = _statements(code, number)
    return Blocks(functions, blocks, [number for _, number in codes], first_new=len(old))


def _statements(code: str, number: int) -> Statements:
    """Code that belongs to one agent, in JSON or under a heading: a function, or only the body of one."""
    statements = parse(textwrap.dedent(code))
    if not statements.function_names:
        body = textwrap.indent(textwrap.dedent(code), "    ")
        statements = parse(f"def {function_name(number)}():\n{body}\n    pass\n")
    return statements
