"""A program's run ahead of all episodes, as far as nothing depends on the moment: what would fail there fails here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.errors import ProgramError
from rllib_releds.demonstrations.execution.running_program import RunningProgram
from rllib_releds.demonstrations.execution.sandbox import Sandbox
from rllib_releds.demonstrations.execution.transcripts import remember
from rllib_releds.demonstrations.functions import ProgramHost


def dry_run(program: Program, sandbox: Sandbox, host: ProgramHost) -> str | None:
    """Run a program up to its first question about the moment, or to its end; returns what went wrong before it.

    Of a program that asks no such question it is remembered what it does, so that no episode of this process runs it.

    Args:
        program: has been checked.
        sandbox: an open one.
        host: answers what is certain; nothing else is asked.
    """
    running = RunningProgram(sandbox, program, _CertainAnswers(host))
    try:
        running.begin()
    except _NotYetKnown:
        return None
    except ProgramError as error:
        return str(error)
    if running.transcript is None:
        return None if running.error is None else str(running.error)
    if not running.transcript.movements:
        return f"{program.entry or 'the program'} ended before it had moved"
    remember(program, sandbox.limits, host, running.transcript)
    return None


class _NotYetKnown(Exception):
    """The answer depends on the moment."""


class _CertainAnswers:
    """A host before any episode."""

    def __init__(self, host: ProgramHost) -> None:
        self._host = host
        self.check_movement, self.is_certain, self.is_last = host.check_movement, host.is_certain, host.is_last

    def answer(self, name: str, values: Sequence[Any]) -> Any:
        if not self.is_certain(name):
            raise _NotYetKnown
        return self._host.answer(name, values)
