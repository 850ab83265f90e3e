"""One program on its way: what it has called, what it waits for, and what it may still use.

A program waits at each `move_to_*` call until its vehicle is there. It cannot tell, though, whether it waits: where the
vehicle is certain to arrive, the program runs on at once and its movements wait, up to the first question whose answer
depends on the moment. There it is frozen to bytes, so any number of programs share one worker process. The bytes are
not authenticated: they never leave this process's memory. After a movement that certainly ends the task nothing runs.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.errors import CallError, LimitError, ProgramError
from rllib_releds.demonstrations.execution.limits import Printed
from rllib_releds.demonstrations.execution.prelude import prelude
from rllib_releds.demonstrations.execution.rewriting import runnable
from rllib_releds.demonstrations.execution.sandbox_failures import failure
from rllib_releds.demonstrations.execution.transcripts import Transcript
from rllib_releds.demonstrations.functions import ProgramHost
from sumo_marl_env import Instruction

if TYPE_CHECKING:
    from pydantic_monty import MontySession

    from rllib_releds.demonstrations.execution.sandbox import Sandbox


class HostFailure(Exception):
    """A host function failed by itself, by its `own` error: no fault of the program or the sandbox."""

    def __init__(self, own: Exception) -> None:
        super().__init__(own)
        self.own = own


class RunningProgram:
    """One program on its way.

    Attributes:
        program: what runs.
        waiting_for: the movement it waits for; None once it has ended.
        used_s: seconds it has taken so far.
        error: what went wrong after the movements that it has made; None if nothing has yet.
    """

    def __init__(self, sandbox: Sandbox, program: Program, host: ProgramHost) -> None:
        self.program = program
        self.waiting_for: Instruction | None = None
        self.used_s = 0.0
        self.error: ProgramError | None = None
        self._printed = Printed(sandbox.limits.max_output_chars)
        self._sandbox = sandbox
        self._host = host
        # Movements after `waiting_for` that the program has made already.
        self._ahead: deque[Instruction] = deque()
        # The interpreter at a call that cannot be answered yet: this question, or else the last movement.
        self._parked: bytes | None = None
        self._question: tuple[str, Any, Any] | None = None
        self._num_calls = 0
        self._num_moves = 0
        self._is_over = False
        # None as soon as what it does depends on the moment.
        self._transcript: Transcript | None = Transcript()

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._printed.text

    @property
    def transcript(self) -> Transcript | None:
        """What it did, if it has come to its end and none of it depends on the moment."""
        return self._transcript if self._parked is None and self.error is None else None

    def begin(self, known: Transcript | None = None) -> None:
        """Run up to the first movement or to the end, or do what is `known` of the whole program.

        Raises:
            LimitError: if it used more than it may.
            ProgramError: saying what else went wrong, and in which line.
        """
        if known is None:
            self._sandbox.limits.check_size(self.program.source)
            self._turn(None)
        else:
            self._transcript = known
            self._ahead.extend(self._sandbox.functions.instruction(*movement) for movement in known.movements)
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
        if self.waiting_for is None and self.error is not None:
            raise self.error

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
        except HostFailure as error:
            raise error.own from None
        except MontyError as error:
            self.error = self._printed.error or failure(error, self.program.source)
        except ProgramError as error:
            self.error = error.with_traceback(None)  # which would keep this program alive
        except (RuntimeError, TimeoutError) as error:
            self.error = ProgramError(f"the sandbox gave the program up: {error}")
        finally:
            self.used_s += time.perf_counter() - began

    def _first(self, session: MontySession) -> Any:
        source = runnable(self.program.source)
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
                if self._is_over:
                    return
                if answer is None:
                    self._parked = snapshot.dump()
                    return
                snapshot = snapshot.resume(answer)

    def _answer(self, name: str, args: Any, kwargs: Any) -> Any:
        """What the program gets for a call; None if that is not known before its movements are carried out."""
        functions = self._sandbox.functions
        try:
            values = functions.check_call(name, args, kwargs)
            if not (is_certain := self._host.is_certain(name)):
                self._transcript = None
            if name in functions.movements:
                self._move(name, *values, is_certain=is_certain)
                return {"return_value": True} if is_certain else None
            if self._ahead and not is_certain:
                self._question = (name, args, kwargs)
                return None
            answer = self._host_answer(name, values)
            if self._transcript is not None:
                self._transcript.questions.append((name, values, answer))
            return {"return_value": answer}
        except CallError as error:
            self._transcript = None
            return {"exc_type": "ValueError" if name in functions else "NameError", "message": str(error)}
        except (RuntimeError, TimeoutError) as error:  # of the host; those of the worker are raised elsewhere
            raise HostFailure(error) from error

    def _host_answer(self, name: str, values: Sequence[Any]) -> Any:
        answer = self._host.answer(name, values)
        # The interpreter knows Python's own numbers alone.
        return answer.item() if isinstance(answer, np.generic) else answer

    def _move(self, name: str, target: int, *, is_certain: bool) -> None:
        self._num_moves += 1
        if self._num_moves > self._sandbox.limits.max_moves:
            raise LimitError(f"more than {self._sandbox.limits.max_moves} movements; end the loop", "max_moves")
        self._host.check_movement(name, target)
        self._ahead.append(self._sandbox.functions.instruction(name, target))
        self._is_over = is_certain and self._host.is_last(target)
        if self._transcript is not None:
            self._transcript.movements.append((name, target))
            self._transcript.is_cut = self._is_over

    def _count(self, began: float) -> None:
        """Enforce the budgets outside: a program can catch whatever is raised inside it."""
        limits = self._sandbox.limits
        self._num_calls += 1
        if self._num_calls > limits.max_calls:
            raise LimitError(f"more than {limits.max_calls} calls; end the loop or ask less often", "max_calls")
        limits.check_time(self.used_s + time.perf_counter() - began)

    def _look_up(self, snapshot: Any) -> Any:
        """A navigation function used as a value, such as `key=get_shortest_time`."""
        name = snapshot.variable_name
        if snapshot.object_id is not None or name not in self._sandbox.functions:
            return snapshot.resume()

        def stand_in() -> None:
            """Only its name crosses into the sandbox; a call comes back as a snapshot."""

        stand_in.__name__ = name
        return snapshot.resume(value=stand_in)
