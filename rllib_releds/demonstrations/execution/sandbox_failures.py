"""What the sandbox raises, in words for whoever wrote the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rllib_releds.demonstrations.errors import LimitError, ProgramError
from rllib_releds.demonstrations.execution.rewriting import runnable

if TYPE_CHECKING:
    from pydantic_monty import MontyError

MAX_ERROR_CHARS = 500
# How the worker's own messages begin.
_OUT_OF_TIME = "TimeoutError: turn time limit exceeded"
_OUT_OF_MEMORY = ("MemoryError: memory limit exceeded", "MemoryError: the worker exceeded its memory limit")
_TOO_SLOW = "TimeoutError: it computed for too long between two calls; is there an endless loop?"


def failure(error: MontyError, source: str) -> ProgramError:
    """What the sandbox raised, in one line: what, and where in the program's `source`; and the limit, if it was one.

    Args:
        error: of the interpreter, which ran `runnable(source)`.
        source: as it was written.
    """
    from pydantic_monty import MontyCrashedError, MontyRuntimeError, MontySyntaxError

    message = str(error)
    if (isinstance(error, MontyCrashedError) and error.timed_out) or message.startswith(_OUT_OF_TIME):
        # Neither seconds nor the line, which differ from run to run: this goes into prompts, whose replay knows it.
        return LimitError(_TOO_SLOW, "turn_s")
    if isinstance(error, MontyRuntimeError | MontySyntaxError):
        message = error.display("type-msg")
        run, written = (text.splitlines() for text in (runnable(source), source))
        as_written = {line.strip(): written[row].strip() for row, line in enumerate(run)}
        # A frame may also lie in the prelude, of which whoever wrote the program knows nothing.
        frames = [(frame.line, (frame.source_line or "").strip()) for frame in error.traceback()]
        own = [(number, as_written[text]) for number, text in frames if text and text in as_written]
        if own:
            message += f" (line {own[-1][0]}: {own[-1][1][:120]})"
    if len(message) > MAX_ERROR_CHARS:
        message = message[: MAX_ERROR_CHARS - 3] + "..."
    return LimitError(message, "memory_bytes") if message.startswith(_OUT_OF_MEMORY) else ProgramError(message)
