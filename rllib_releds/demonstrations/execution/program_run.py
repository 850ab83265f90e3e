"""One program, run by hand: for tests, and for whoever wants to see what a program does without a simulation."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rllib_releds.demonstrations.answers.parsing import parse
from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.errors import CallError, LimitError, ProgramError
from rllib_releds.demonstrations.execution.limits import SandboxLimits
from rllib_releds.demonstrations.execution.running_program import RunningProgram
from rllib_releds.demonstrations.execution.sandbox import Sandbox
from rllib_releds.demonstrations.functions import routing_functions
from sumo_marl_env import MOVE_FUNCTIONS, Instruction, UnknownJunctionError


@dataclass(frozen=True)
class ProgramCall:
    """One call of a navigation function.

    Attributes:
        function: its name.
        arguments: checked and coerced: node ids are ints, coordinates floats.
        result: what the program got; None if it got an error.
        error: the message of the error that it got; None if it got a result.
    """

    function: str
    arguments: tuple[Any, ...]
    result: Any = None
    error: str | None = None


@dataclass(frozen=True)
class ProgramRun:
    """What a program did.

    Attributes:
        calls: the calls that reached a host function, in their order.
        output: what it printed.
        error: why it failed, in one line; None if it ended by itself.
        limit: the field of `SandboxLimits` that it hit; None if none.
        seconds: the time it took, with the host functions.
    """

    calls: tuple[ProgramCall, ...]
    output: str
    error: str | None
    limit: str | None
    seconds: float

    @property
    def moves(self) -> tuple[Instruction, ...]:
        """Its movements: the instruction sequence e_k of the paper."""
        return tuple(
            Instruction(call.function, call.arguments[0])
            for call in self.calls
            if call.function in MOVE_FUNCTIONS and call.error is None
        )


def run_program(
    program: Program | str,
    functions: Mapping[str, Callable[..., Any]],
    limits: SandboxLimits | None = None,
    *,
    sandbox: Sandbox | None = None,
) -> ProgramRun:
    """Run one program in the sandbox and tell what it did. Whatever the program does, this returns.

    As in an episode the program is parked at each movement, its budgets are counted outside, and arguments are checked
    and coerced before a function is called.

        >>> run = run_program(
        ...     "def agent_3():\\n"
        ...     "    if get_shortest_time(7) < 60:\\n"
        ...     "        move_to_by_shortest_path('7')\\n"
        ...     "    move_to_by_shortest_time(get_destination())\\n",
        ...     {
        ...         "get_shortest_time": lambda node: 42.0,
        ...         "get_destination": lambda: 12,
        ...         "move_to_by_shortest_path": lambda node: True,
        ...         "move_to_by_shortest_time": lambda node: True,
        ...     },
        ... )
        >>> [str(move) for move in run.moves]
        ['move_to_by_shortest_path(7)', 'move_to_by_shortest_time(12)']
        >>> run.error is None, run.calls[0]
        (True, ProgramCall(function='get_shortest_time', arguments=(7,), result=42.0, error=None))

    Args:
        program: Python, or what `extract_programs` found in a reply of a model. Of a text the top level runs first,
            then its last function is called without arguments.
        functions: what stands behind each navigation function, by name; a program that calls another one fails.
            A CallError or an UnknownJunctionError in a function becomes a ValueError in the program.
        limits: what the program may use; the defaults are those of an episode.
        sandbox: an open one to run it in, with its limits, instead of a new one.

    Raises:
        ValueError: if `functions` names something that is no navigation function, or both limits and sandbox are given.
        MissingExtraError: if no sandbox is installed.
    """
    unknown = sorted(set(functions) - set(routing_functions().functions))
    if unknown:
        raise ValueError(
            f"{unknown[0]!r} is no navigation function; they are {', '.join(routing_functions().functions)}"
        )
    if sandbox is not None:
        if limits is not None:
            raise ValueError("give either limits or a sandbox, which has its own")
        return _run(program, functions, sandbox)
    with Sandbox(limits) as sandbox:
        return _run(program, functions, sandbox)


def _run(program: Program | str, functions: Mapping[str, Callable[..., Any]], sandbox: Sandbox) -> ProgramRun:
    host = _RecordingHost(functions)
    if isinstance(program, str):
        text = program.removeprefix("\ufeff")
        entry = _entry(text[: sandbox.limits.max_source_chars])
        if isinstance(entry, ast.AsyncFunctionDef):
            reason = f"{entry.name}() is asynchronous: a call would only make it, and run nothing; write def"
            return ProgramRun((), "", reason, None, 0.0)
        program = Program("agent", text, entry.name if entry else "")
    running = RunningProgram(sandbox, program, host)
    error: ProgramError | None = None
    try:
        running.begin()
        while running.waiting_for is not None:
            running.resume(host.arrived)
    except ProgramError as failure:
        error = failure
    return ProgramRun(
        calls=tuple(host.calls),
        output=running.output,
        error=None if error is None else str(error),
        limit=error.limit if isinstance(error, LimitError) else None,
        seconds=running.used_s,
    )


def _entry(text: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The last function of the text; nothing is called if it has none, or if it cannot be read."""
    functions = [s for s in parse(text).parsed if isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef)]
    return functions[-1] if functions else None


class _RecordingHost:
    """Answers a program's calls by the functions given, and writes them down."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.calls: list[ProgramCall] = []
        self.arrived = True
        self._functions = functions

    def answer(self, name: str, values: Sequence[Any]) -> Any:
        try:
            if name not in self._functions:
                raise CallError(f"{name} is not given here")
            result = self._functions[name](*values)
        except (CallError, UnknownJunctionError) as error:
            self.calls.append(ProgramCall(name, tuple(values), error=str(error)))
            raise CallError(f"{name}: {error}") from error
        self.calls.append(ProgramCall(name, tuple(values), result))
        return result

    def check_movement(self, name: str, target: int) -> None:
        self.arrived = bool(self.answer(name, [target]))

    def is_certain(self, name: str) -> bool:
        return False

    def is_last(self, target: int) -> bool:
        return False
