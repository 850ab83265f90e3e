"""What the sandbox raises, in words for whoever wrote the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rllib_releds.demonstrations.errors import LimitError, ProgramError

if TYPE_CHECKING:
    from pydantic_monty import MontyError

MAX_ERROR_CHARS = 500
# The worker's own messages, and the limit of which they speak.
_LIMIT_WORDS = {"turn time limit exceeded": "turn_s", "memory limit": "memory_bytes"}


def failure(error: MontyError) -> ProgramError:
    """What the sandbox raised, in one line: what, and where in the program; and the limit, if it was one."""
    from pydantic_monty import MontyCrashedError, MontyRuntimeError, MontySyntaxError

    message = str(error)
    if isinstance(error, MontyRuntimeError | MontySyntaxError):
        message = error.display("type-msg")
        frames = [frame for frame in error.traceback() if frame.source_line]
        if frames:
            message += f" (line {frames[-1].line}: {(frames[-1].source_line or '').strip()[:120]})"
    if len(message) > MAX_ERROR_CHARS:
        message = message[: MAX_ERROR_CHARS - 3] + "..."
    limit = next((limit for words, limit in _LIMIT_WORDS.items() if words in message), None)
    if isinstance(error, MontyCrashedError) and error.timed_out:
        limit = "turn_s"
    return ProgramError(message) if limit is None else LimitError(message, limit)
