"""Programs as coroutines of the simulation, in a minimal interpreter that reaches nothing but the navigation functions.

A program runs until its next `move_to_*` call; there it is frozen to bytes and waits for its vehicle. So any number of
programs share one worker process. The bytes are not authenticated: they never leave this process's memory.

The only module that imports pydantic_monty.
"""

from __future__ import annotations

import time
import weakref
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllib_releds.demonstrations.calls import answer_query, check_call, check_target, navigation_functions, type_stubs
from rllib_releds.demonstrations.cleaning import pausable_sorts
from rllib_releds.demonstrations.errors import CallError, MissingExtraError, ProgramError
from rllib_releds.demonstrations.programs import Program
from sumo_marl_env import MOVE_FUNCTIONS, Instruction, Navigator

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontyError, MontySession

# Rules of the type checker that tell a program which is bound to fail from one that is merely loosely typed.
_FATAL_RULES = (
    "unresolved-reference",
    "unresolved-import",
    "missing-argument",
    "too-many-positional-arguments",
    "unknown-argument",
    "call-non-callable",
)
_CHECK_MEMORY_BYTES = 64_000_000  # the type checker's own heap counts too


@dataclass(frozen=True)
class SandboxLimits:
    """What one program may use. Everything is counted outside the program.

    Attributes:
        max_calls: navigation calls of both kinds.
        max_moves: `move_to_*` calls.
        turn_s: computing seconds between two calls.
        total_s: computing seconds of the whole program.
        memory_bytes: heap.
        max_output_bytes: what it may print; the text is thrown away.
    """

    max_calls: int = 5000
    max_moves: int = 300
    turn_s: float = 1.0
    total_s: float = 5.0
    memory_bytes: int = 4_000_000
    max_output_bytes: int = 200_000


class Sandbox:
    """One worker process for any number of programs; use it as a context manager.

    Args:
        limits: what each program may use.

    Raises:
        MissingExtraError: on entering, if pydantic-monty is not installed.
    """

    def __init__(self, limits: SandboxLimits | None = None) -> None:
        self.limits = limits or SandboxLimits()
        self._stack = ExitStack()
        self._pool: Monty | None = None

    def __enter__(self) -> Sandbox:
        try:
            from pydantic_monty import Monty
        except ImportError as error:
            raise MissingExtraError("programs need pydantic-monty: pip install 'rllib-releds[train]'") from error
        # More than one live worker would only cost memory: programs are parked as bytes between their turns.
        self._pool = self._stack.enter_context(Monty(min_processes=1, max_processes=1, checkout_timeout=30.0))
        # An episode that breaks off never closes its sandbox; then the worker ends with this object.
        weakref.finalize(self, self._stack.close)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker process. Safe to call twice."""
        self._pool = None
        self._stack.close()

    def start(self, program: Program, navigator: Navigator) -> RunningProgram:
        """Run `program` beside the vehicle of `navigator` up to its first movement."""
        running = RunningProgram(self, program, navigator)
        running.begin()
        return running

    def check(self, program: Program) -> str | None:
        """What is bound to go wrong in `program`, found without calling its entry; None if nothing is."""
        from pydantic_monty import MontyError, MontyTypingError

        with self.session(type_check=True) as session:
            try:
                session.feed_run(pausable_sorts(program.source), print_callback=_no_output())
            except MontyTypingError as error:
                fatal = [
                    line for line in error.display().splitlines() if any(f"[{rule}]" in line for rule in _FATAL_RULES)
                ]
                return "; ".join(line.removeprefix("main.py:") for line in fatal[:5]) or None
            except MontyError as error:
                return describe(error)
            except (RuntimeError, TimeoutError) as error:
                return f"the sandbox gave the program up: {error}"
        return None

    def session(self, *, type_check: bool = False) -> MontySession:
        """A fresh interpreter on the worker."""
        if self._pool is None:
            raise RuntimeError("the sandbox is closed; use it as a context manager")
        return self._pool.checkout(
            limits={
                "max_memory": _CHECK_MEMORY_BYTES if type_check else self.limits.memory_bytes,
                "max_turn_duration_secs": self.limits.turn_s,
                "max_recursion_depth": 200,
                "max_suspensions": 10 * self.limits.max_calls,
            },
            os_policy={"sleep": "zero", "random_start": {"seed": 0}},
            type_check=type_check,
            type_check_stubs=type_stubs() if type_check else None,
            type_check_format="concise" if type_check else None,
        )


class RunningProgram:
    """One program on its way.

    Attributes:
        program: what runs.
        waiting_for: the movement it waits for; None once it has ended.
    """

    def __init__(self, sandbox: Sandbox, program: Program, navigator: Navigator) -> None:
        self.program = program
        self.waiting_for: Instruction | None = None
        self._sandbox = sandbox
        self._navigator = navigator
        self._parked: bytes | None = None
        self._num_calls = 0
        self._num_moves = 0
        self._used_s = 0.0

    def begin(self) -> None:
        """Run up to the first movement or to the end.

        Raises:
            ProgramError: saying what went wrong, and in which line.
        """
        self._turn(None)

    def resume(self, arrived: bool) -> None:
        """Answer the movement it waits for and run up to the next one, or to the end; raises as `begin`."""
        if self._parked is None:
            raise RuntimeError(f"the program of {self.program.agent} does not wait for a movement")
        self._turn(arrived)

    def _turn(self, arrived: bool | None) -> None:
        from pydantic_monty import MontyError

        state, self._parked, self.waiting_for = self._parked, None, None
        fresh = self._sandbox.session()
        began = time.perf_counter()
        try:
            # Leaving the session drops the interpreter, whatever the program was doing.
            with fresh as session:
                if state is None:
                    session.feed_run(_prelude())
                    source = f"{pausable_sorts(self.program.source)}\n{self.program.entry}()\n"
                    snapshot: Any = session.feed_start(source, print_callback=self._output())
                else:
                    parked: Any = session.load_snapshot(state, print_callback=self._output())
                    snapshot = parked.resume({"return_value": arrived})
                self._serve(snapshot, began)
        except MontyError as error:
            raise ProgramError(describe(error)) from None
        except (RuntimeError, TimeoutError) as error:
            raise ProgramError(f"the sandbox gave the program up: {error}") from error
        self._used_s += time.perf_counter() - began

    def _serve(self, snapshot: Any, began: float) -> None:
        """Answer queries until the program moves or ends."""
        from pydantic_monty import FunctionSnapshot, MontyComplete, NameLookupSnapshot

        while not isinstance(snapshot, MontyComplete):
            self._count(began)
            if isinstance(snapshot, NameLookupSnapshot):
                snapshot = self._look_up(snapshot)
            elif not isinstance(snapshot, FunctionSnapshot):
                raise ProgramError("the program waits for something other than a navigation function (async, await)")
            elif snapshot.is_os_function:
                snapshot = snapshot.resume_not_handled()
            else:
                try:
                    values = check_call(snapshot.function_name, snapshot.args, snapshot.kwargs)
                    if snapshot.function_name in MOVE_FUNCTIONS:
                        self._park(snapshot, *values)
                        return
                    answer: Any = {"return_value": answer_query(self._navigator, snapshot.function_name, values)}
                except CallError as error:
                    known = snapshot.function_name in navigation_functions()
                    answer = {"exc_type": "ValueError" if known else "NameError", "message": str(error)}
                snapshot = snapshot.resume(answer)

    def _park(self, snapshot: Any, target: int) -> None:
        check_target(self._navigator, snapshot.function_name, target)
        self._num_moves += 1
        if self._num_moves > self._sandbox.limits.max_moves:
            raise ProgramError(f"more than {self._sandbox.limits.max_moves} movements; end the loop")
        self._parked = snapshot.dump()
        self.waiting_for = Instruction(snapshot.function_name, target)

    def _count(self, began: float) -> None:
        """Enforce the budgets outside: a program can catch whatever is raised inside it."""
        limits = self._sandbox.limits
        self._num_calls += 1
        if self._num_calls > limits.max_calls:
            raise ProgramError(f"more than {limits.max_calls} calls; end the loop or ask less often")
        if self._used_s + time.perf_counter() - began > limits.total_s:
            raise ProgramError(f"more than {limits.total_s:g} s of computing; simplify the program")

    def _look_up(self, snapshot: Any) -> Any:
        """A navigation function used as a value, such as `key=get_shortest_time`."""
        name = snapshot.variable_name
        if snapshot.object_id is not None or name not in navigation_functions():
            return snapshot.resume()

        def stand_in() -> None:
            """Only its name crosses into the sandbox; a call comes back as a snapshot."""

        stand_in.__name__ = name
        return snapshot.resume(value=stand_in)

    def _output(self) -> Any:
        return _no_output(self._sandbox.limits.max_output_bytes)


def describe(error: MontyError) -> str:
    """One line: what was raised, and where in the program."""
    from pydantic_monty import MontyRuntimeError, MontySyntaxError

    if not isinstance(error, MontyRuntimeError | MontySyntaxError):
        return f"{type(error).__name__}: {error}"
    message = error.display("type-msg")
    frames = [frame for frame in error.traceback() if frame.source_line]
    if not frames:
        return message
    return f"{message} (line {frames[-1].line}: {(frames[-1].source_line or '').strip()[:120]})"


@cache
def _prelude() -> str:
    """Python that redefines the builtins which take a function, since the interpreter's own cannot pause inside it."""
    return (Path(__file__).parent / "templates" / "prelude.py.txt").read_text(encoding="utf-8")


def _no_output(max_bytes: int = 200_000) -> Any:
    from pydantic_monty import CollectString

    return CollectString(max_bytes)
