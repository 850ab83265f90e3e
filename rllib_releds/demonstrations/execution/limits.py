"""What one program may use. Everything is counted outside the program."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rllib_releds.demonstrations.errors import LimitError


@dataclass(frozen=True)
class SandboxLimits:
    """What one program may use.

    Attributes:
        max_source_chars: its text.
        max_calls: navigation calls of both kinds, and look-ups of their names (`f = get_origin`).
        max_moves: `move_to_*` calls.
        turn_s: computing seconds between two calls; at most twice as many where the interpreter is in one operation.
        total_s: seconds of the whole program, with the answers to its queries, without those between its turns.
        memory_bytes: heap.
        max_output_chars: what it may print; an episode throws the text away.

    Raises:
        ValueError: for a limit that is not a positive number.
    """

    max_source_chars: int = 50_000
    max_calls: int = 5000
    max_moves: int = 300
    turn_s: float = 1.0
    total_s: float = 5.0
    memory_bytes: int = 4_000_000
    max_output_chars: int = 20_000

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"{name} of SandboxLimits must be a positive number, got {value!r}")

    def check_size(self, source: str) -> None:
        """Raises LimitError if a program's text is too long."""
        if len(source) > self.max_source_chars:
            raise LimitError(
                f"the program has {len(source)} characters, more than {self.max_source_chars}; shorten it",
                "max_source_chars",
            )

    def check_time(self, used_s: float) -> None:
        """Raises LimitError if a program has computed for too long."""
        if used_s > self.total_s:
            raise LimitError(f"more than {self.total_s:g} s of computing; simplify the program", "total_s")


class Printed:
    """Collects what a program prints, and stops the program where that is too much."""

    def __init__(self, max_chars: int) -> None:
        self.text = ""
        self.error: LimitError | None = None
        self._max_chars = max_chars

    def __call__(self, stream: str, text: str) -> None:
        room = self._max_chars - len(self.text)
        self.text += text[:room]
        if len(text) > room:
            self.error = LimitError(f"it printed more than {self._max_chars} characters", "max_output_chars")
            raise self.error  # the program cannot catch it
