"""Programs as coroutines of the simulation, in a minimal interpreter that reaches nothing but the navigation functions.

Only this module, `running_program` and `sandbox_failures` import pydantic_monty.
"""

from __future__ import annotations

import importlib.util
import time
import weakref
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.errors import MissingExtraError, ProgramError
from rllib_releds.demonstrations.execution.limits import Printed, SandboxLimits
from rllib_releds.demonstrations.execution.prelude import prelude
from rllib_releds.demonstrations.execution.rewriting import runnable
from rllib_releds.demonstrations.execution.sandbox_failures import MAX_ERROR_CHARS, failure
from rllib_releds.demonstrations.functions import FunctionTable, routing_functions

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontySession

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
# Names that programs can use, by the interpreter or by `prelude`, and that the type checker would call undefined.
_UNKNOWN_TO_THE_CHECKER = """
from typing import Any
def map(function: Any, *iterables: Any) -> list[Any]: ...
def filter(function: Any, iterable: Any) -> list[Any]: ...
def getattr(thing: Any, name: str, *default: Any) -> Any: ...
def hasattr(thing: Any, name: str) -> bool: ...
def setattr(thing: Any, name: str, value: Any) -> None: ...
def format(value: Any, spec: str = "") -> str: ...
class ImportError(Exception): ...
class ModuleNotFoundError(ImportError): ...
class UnboundLocalError(NameError): ...
"""
_CHECK_MEMORY_BYTES = 64_000_000  # the type checker's own heap counts too
_MAX_RECURSION = 200
# A program that could read a clock or draw without a seed would not do the same again.
_OS_POLICY: Any = {"datetime": datetime(2000, 1, 1), "sleep": "zero", "random_start": {"seed": 0}}


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
        self._open = False
        self._pool: Monty | None = None

    def __enter__(self) -> Sandbox:
        if importlib.util.find_spec("pydantic_monty") is None:
            raise MissingExtraError("programs need pydantic-monty: pip install 'rllib-releds[train]'")
        self._open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker process. Safe to call twice."""
        self._open, self._pool = False, None
        self._stack.close()

    def check(self, program: Program) -> str | None:
        """What is bound to go wrong in `program`, found without calling its entry; None if nothing is."""
        from pydantic_monty import MontyError, MontyTypingError

        try:
            self.limits.check_size(program.source)
            try:
                self._load(program, type_check=True)
            except MontyTypingError as error:
                lines = error.display().splitlines()
                if fatal := [line for line in lines if any(f"[{rule}]" in line for rule in _FATAL_RULES)]:
                    return "; ".join(line.removeprefix("main.py:") for line in fatal[:5])[:MAX_ERROR_CHARS]
                # Merely loosely typed, and the interpreter itself has not seen it yet.
                self._load(program, type_check=False)
        except MontyError as error:
            return str(failure(error, program.source))
        except (ProgramError, RuntimeError, TimeoutError) as error:
            return str(error)
        return None

    def _load(self, program: Program, *, type_check: bool) -> None:
        """Run the top level up to the first call of a navigation function there."""
        source = runnable(program.source)
        with self.session(type_check=type_check) as session:
            if definitions := prelude(source):
                session.feed_run(definitions)
            snapshot: Any = session.feed_start(source, print_callback=Printed(self.limits.max_output_chars))
            # An import of a module that is not there asks for its stubs first, and is checked when there are none.
            began = time.perf_counter()
            while getattr(snapshot, "is_os_function", False):
                self.limits.check_time(time.perf_counter() - began)
                snapshot = snapshot.resume_not_handled()

    def session(self, *, type_check: bool = False) -> MontySession:
        """A fresh interpreter on the worker."""
        if not self._open:
            raise RuntimeError("the sandbox is closed; use it as a context manager")
        return self._worker().checkout(
            limits={
                "max_memory": _CHECK_MEMORY_BYTES if type_check else self.limits.memory_bytes,
                "max_turn_duration_secs": self.limits.turn_s,
                "max_recursion_depth": _MAX_RECURSION,
                "max_suspensions": 10 * self.limits.max_calls,
            },
            os_policy=_OS_POLICY,
            type_check=type_check,
            type_check_stubs=self.functions.type_stubs() + _UNKNOWN_TO_THE_CHECKER if type_check else None,
            type_check_format="concise" if type_check else None,
        )

    def _worker(self) -> Monty:
        """Started for the first program that is not known."""
        from pydantic_monty import Monty

        if self._pool is None:
            # More than one live worker would only cost memory: programs are parked as bytes between their turns.
            self._pool = self._stack.enter_context(Monty(min_processes=1, max_processes=1, checkout_timeout=30.0))
            # An episode that breaks off never closes its sandbox; then the worker ends with this object.
            weakref.finalize(self, self._stack.close)
        return self._pool
