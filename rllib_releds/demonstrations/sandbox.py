"""Programs as coroutines of the simulation, in a minimal interpreter that reaches nothing but the navigation functions.

A program waits at each `move_to_*` call until its vehicle is there. It cannot tell, though, whether it waits: where the
vehicle is certain to arrive, the program runs on at once and its movements wait, up to the first question whose answer
depends on the moment. There it is frozen to bytes, so any number of programs share one worker process. The bytes are
not authenticated: they never leave this process's memory.

The only module that imports pydantic_monty.
"""

from __future__ import annotations

import time
import weakref
from collections import deque
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rllib_releds.demonstrations.calls import FunctionTable, ProgramHost, routing_functions
from rllib_releds.demonstrations.cleaning import pausable_sorts
from rllib_releds.demonstrations.errors import CallError, LimitError, MissingExtraError, ProgramError
from rllib_releds.demonstrations.limits import Printed, SandboxLimits
from rllib_releds.demonstrations.prelude import prelude
from rllib_releds.demonstrations.programs import Program
from sumo_marl_env import Instruction

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontyError, MontySession

# Rules of the type checker that tell a program which is bound to fail from one that is merely loosely typed.
_FATAL_RULES = (
    "invalid-syntax",
    "unresolved-reference",
    "unresolved-import",
    "missing-argument",
    "too-many-positional-arguments",
    "unknown-argument",
    "call-non-callable",
)
_CHECK_MEMORY_BYTES = 64_000_000  # the type checker's own heap counts too
_MAX_RECURSION = 200
_MAX_ERROR_CHARS = 500
# A program that could read a clock or draw without a seed would not do the same again.
_OS_POLICY: Any = {"datetime": datetime(2000, 1, 1), "sleep": "zero", "random_start": {"seed": 0}}
# The worker's own messages, and the limit of which they speak.
_LIMIT_WORDS = {"turn time limit exceeded": "turn_s", "memory limit": "memory_bytes"}


class Sandbox:
    """One worker process for any number of programs; use it as a context manager.

    Args:
        limits: what each program may use.
        functions: what programs may call; None for routing.

    Raises:
        MissingExtraError: on entering, if pydantic-monty is not installed.
    """

    def __init__(self, limits: SandboxLimits | None = None, functions: FunctionTable | None = None) -> None:
        self.limits = limits or SandboxLimits()
        self.functions = functions or routing_functions()
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

    def start(self, program: Program, host: ProgramHost) -> RunningProgram:
        """Run `program`, whose calls `host` answers, up to its first movement."""
        running = RunningProgram(self, program, host)
        running.begin()
        return running

    def check(self, program: Program) -> str | None:
        """What is bound to go wrong in `program`, found without calling its entry; None if nothing is."""
        from pydantic_monty import MontyError, MontyTypingError

        try:
            self.limits.check_size(program.source)
            with self.session(type_check=True) as session:
                # Stops at the first call of a navigation function at top level, with everything checked.
                session.feed_start(pausable_sorts(program.source), print_callback=Printed(self.limits.max_output_chars))
        except MontyTypingError as error:
            fatal = [line for line in error.display().splitlines() if any(f"[{rule}]" in line for rule in _FATAL_RULES)]
            return "; ".join(line.removeprefix("main.py:") for line in fatal[:5])[:_MAX_ERROR_CHARS] or None
        except MontyError as error:
            return str(_failure(error))
        except (ProgramError, RuntimeError, TimeoutError) as error:
            return str(error)
        return None

    def session(self, *, type_check: bool = False) -> MontySession:
        """A fresh interpreter on the worker."""
        if self._pool is None:
            raise RuntimeError("the sandbox is closed; use it as a context manager")
        return self._pool.checkout(
            limits={
                "max_memory": _CHECK_MEMORY_BYTES if type_check else self.limits.memory_bytes,
                "max_turn_duration_secs": self.limits.turn_s,
                "max_recursion_depth": _MAX_RECURSION,
                "max_suspensions": 10 * self.limits.max_calls,
            },
            os_policy=_OS_POLICY,
            type_check=type_check,
            type_check_stubs=self.functions.type_stubs() if type_check else None,
            type_check_format="concise" if type_check else None,
        )


class RunningProgram:
    """One program on its way.

    Attributes:
        program: what runs.
        waiting_for: the movement it waits for; None once it has ended.
        used_s: seconds it has taken so far.
    """

    def __init__(self, sandbox: Sandbox, program: Program, host: ProgramHost) -> None:
        self.program = program
        self.waiting_for: Instruction | None = None
        self.used_s = 0.0
        self._printed = Printed(sandbox.limits.max_output_chars)
        self._sandbox = sandbox
        self._host = host
        # Movements after `waiting_for` that the program has made already, and what went wrong after them.
        self._ahead: deque[Instruction] = deque()
        self._error: ProgramError | None = None
        # The interpreter at a call that cannot be answered yet: this question, or else the last movement.
        self._parked: bytes | None = None
        self._question: tuple[str, Any, Any] | None = None
        self._num_calls = 0
        self._num_moves = 0

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._printed.text

    def begin(self) -> None:
        """Run up to the first movement or to the end.

        Raises:
            LimitError: if it used more than it may.
            ProgramError: saying what else went wrong, and in which line.
        """
        self._sandbox.limits.check_size(self.program.source)
        self._turn(None)
        self._next()

    def resume(self, arrived: bool) -> None:
        """Answer the movement it waits for and run up to the next one, or to the end; raises as `begin`."""
        if self.waiting_for is None:
            raise RuntimeError(f"the program of {self.program.agent} does not wait for a movement")
        is_last = not self._ahead and self._parked is not None
        if not arrived and not (is_last and self._question is None):
            raise ProgramError(f"{self.waiting_for} failed, although its host was certain that it could not")
        if is_last:
            self._turn(arrived)
        self._next()

    def _next(self) -> None:
        self.waiting_for = self._ahead.popleft() if self._ahead else None
        if self.waiting_for is None and self._error is not None:
            raise self._error

    def _turn(self, arrived: bool | None) -> None:
        """Run until it must wait or ends."""
        from pydantic_monty import MontyError

        state, self._parked = self._parked, None
        fresh = self._sandbox.session()
        began = time.perf_counter()
        try:
            # Leaving the session drops the interpreter, whatever the program was doing.
            with fresh as session:
                self._serve(self._first(session) if state is None else self._woken(session, state, arrived), began)
        except MontyError as error:
            self._error = self._printed.error or _failure(error)
        except ProgramError as error:
            self._error = error.with_traceback(None)  # which would keep this program alive
        except (RuntimeError, TimeoutError) as error:
            self._error = ProgramError(f"the sandbox gave the program up: {error}")
        finally:
            self.used_s += time.perf_counter() - began

    def _first(self, session: MontySession) -> Any:
        source = pausable_sorts(self.program.source)
        if definitions := prelude(source):
            session.feed_run(definitions)
        call = f"{self.program.entry}()\n" if self.program.entry else ""
        return session.feed_start(f"{source}\n{call}", print_callback=self._printed)

    def _woken(self, session: MontySession, state: bytes, arrived: bool | None) -> Any:
        parked: Any = session.load_snapshot(state, print_callback=self._printed)
        question, self._question = self._question, None
        return parked.resume({"return_value": arrived} if question is None else self._answer(*question))

    def _serve(self, snapshot: Any, began: float) -> None:
        """Answer calls until the program must wait or ends."""
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
                answer = self._answer(snapshot.function_name, snapshot.args, snapshot.kwargs)
                if answer is None:
                    self._parked = snapshot.dump()
                    return
                snapshot = snapshot.resume(answer)

    def _answer(self, name: str, args: Any, kwargs: Any) -> Any:
        """What the program gets for a call; None if that is not known before its movements are carried out."""
        functions = self._sandbox.functions
        try:
            values = functions.check_call(name, args, kwargs)
            if name in functions.movements:
                self._move(name, *values)
                return {"return_value": True} if self._host.is_certain(name) else None
            if self._ahead and not self._host.is_certain(name):
                self._question = (name, args, kwargs)
                return None
            return {"return_value": self._host.answer(name, values)}
        except CallError as error:
            return {"exc_type": "ValueError" if name in functions else "NameError", "message": str(error)}

    def _move(self, name: str, target: int) -> None:
        self._num_moves += 1
        if self._num_moves > self._sandbox.limits.max_moves:
            raise LimitError(f"more than {self._sandbox.limits.max_moves} movements; end the loop", "max_moves")
        self._host.check_movement(name, target)
        self._ahead.append(self._sandbox.functions.instruction(name, target))

    def _count(self, began: float) -> None:
        """Enforce the budgets outside: a program can catch whatever is raised inside it."""
        limits = self._sandbox.limits
        self._num_calls += 1
        if self._num_calls > limits.max_calls:
            raise LimitError(f"more than {limits.max_calls} calls; end the loop or ask less often", "max_calls")
        if self.used_s + time.perf_counter() - began > limits.total_s:
            raise LimitError(f"more than {limits.total_s:g} s of computing; simplify the program", "total_s")

    def _look_up(self, snapshot: Any) -> Any:
        """A navigation function used as a value, such as `key=get_shortest_time`."""
        name = snapshot.variable_name
        if snapshot.object_id is not None or name not in self._sandbox.functions:
            return snapshot.resume()

        def stand_in() -> None:
            """Only its name crosses into the sandbox; a call comes back as a snapshot."""

        stand_in.__name__ = name
        return snapshot.resume(value=stand_in)


def _failure(error: MontyError) -> ProgramError:
    """What the sandbox raised, in one line: what, and where in the program; and the limit, if it was one."""
    from pydantic_monty import MontyCrashedError, MontyRuntimeError, MontySyntaxError

    message = str(error)
    if isinstance(error, MontyRuntimeError | MontySyntaxError):
        message = error.display("type-msg")
        frames = [frame for frame in error.traceback() if frame.source_line]
        if frames:
            message += f" (line {frames[-1].line}: {(frames[-1].source_line or '').strip()[:120]})"
    if len(message) > _MAX_ERROR_CHARS:
        message = message[: _MAX_ERROR_CHARS - 3] + "..."
    limit = next((limit for words, limit in _LIMIT_WORDS.items() if words in message), None)
    if isinstance(error, MontyCrashedError) and error.timed_out:
        limit = "turn_s"
    return ProgramError(message) if limit is None else LimitError(message, limit)
