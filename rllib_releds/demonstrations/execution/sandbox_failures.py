"""What the sandbox raises, in words for whoever wrote the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rllib_releds.demonstrations.errors import LimitError, ProgramError

if TYPE_CHECKING:
    from pydantic_monty import MontyError

MAX_ERROR_CHARS = 500
# How the worker's own messages begin, and the limit of which they speak.
_LIMIT_WORDS = {
    "TimeoutError: turn time limit exceeded": "turn_s",
    "MemoryError: memory limit exceeded": "memory_bytes",
    "MemoryError: the worker exceeded its memory limit": "memory_bytes",
}


def failure(error: MontyError, source: str) -> ProgramError:
    """What the sandbox raised, in one line: what, and where in the program's `source`; and the limit, if it was one."""
    from pydantic_monty import MontyCrashedError, MontyRuntimeError, MontySyntaxError

    message = str(error)
    if isinstance(error, MontyRuntimeError | MontySyntaxError):
        message = error.display("type-msg")
        lines = [line.strip() for line in source.splitlines()]
        # A frame may also lie in the prelude, of which whoever wrote the program knows nothing.
        frames = [(frame.line, (frame.source_line or "").strip()) for frame in error.traceback()]
        own = [(number, text) for number, text in frames if text and text in lines]
        if own:
            message += f" (line {own[-1][0]}: {own[-1][1][:120]})"
    if len(message) > MAX_ERROR_CHARS:
        message = message[: MAX_ERROR_CHARS - 3] + "..."
    limit = next((limit for words, limit in _LIMIT_WORDS.items() if message.startswith(words)), None)
    if isinstance(error, MontyCrashedError) and error.timed_out:
        limit = "turn_s"
    return ProgramError(message) if limit is None else LimitError(message, limit)
