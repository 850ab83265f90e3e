"""A program that asks nothing about the moment does the same in every episode, and need not run again.

Programs are pure: they see no clock, and their random numbers have a fixed seed. So the answers that a program got say
what it does.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from rllib_releds.demonstrations.answers.programs import Program
from rllib_releds.demonstrations.errors import CallError
from rllib_releds.demonstrations.execution.limits import SandboxLimits
from rllib_releds.demonstrations.functions import ProgramHost

MAX_REMEMBERED = 2000
"""Transcripts in one process: those of 100 agents in the last twenty cycles, of 50 KB at most, mostly of a few."""

MAX_STEPS = 200
"""Questions and movements of a transcript; a program with more of them, up to 2 MB, runs again each time."""

_Key = tuple[Program, SandboxLimits, type[ProgramHost]]


@dataclass
class Transcript:
    """What a program did whose answers depend on no moment.

    Attributes:
        questions: name, arguments and answer of each `get_*` call.
        movements: name and target of each `move_to_*` call.
        is_cut: whether the last one ends the task, so that nobody knows what would come after it.
    """

    questions: list[tuple[str, tuple[Any, ...], Any]] = field(default_factory=list)
    movements: list[tuple[str, int]] = field(default_factory=list)
    is_cut: bool = False

    def holds_for(self, host: ProgramHost) -> bool:
        """Whether the program would do the same again, with this host, at whatever moment."""
        names = {question[0] for question in self.questions} | {movement[0] for movement in self.movements}
        if not all(host.is_certain(name) for name in names):
            return False
        if self.is_cut and not host.is_last(self.movements[-1][1]):
            return False
        try:
            for name, target in self.movements:
                host.check_movement(name, target)
            return all(host.answer(name, values) == answer for name, values, answer in self.questions)
        except CallError:
            return False


_remembered: dict[_Key, Transcript] = {}
_lock = threading.Lock()  # programs of asynchronous demonstrations are tried beside the episodes of the last ones


def remember(program: Program, limits: SandboxLimits, host: ProgramHost, transcript: Transcript) -> None:
    """Keep what the program did, for hosts of this kind, unless it did very much.

    Of too many, the one that was not wanted for the longest time is forgotten.
    """
    if len(transcript.questions) + len(transcript.movements) > MAX_STEPS:
        return
    remember_all({_key(program, limits, host): transcript})


def remember_all(known: Mapping[_Key, Transcript]) -> None:
    """Keep what `known_of` returned, here or in another process."""
    with _lock:
        for key, transcript in known.items():
            _remembered.pop(key, None)
            _remembered[key] = transcript
            if len(_remembered) > MAX_REMEMBERED:
                del _remembered[next(iter(_remembered))]


def known_of(programs: Collection[Program]) -> dict[_Key, Transcript]:
    """What is remembered of these programs, whatever their limits and hosts; picklable."""
    with _lock:
        return {key: transcript for key, transcript in _remembered.items() if key[0] in programs}


def recall(program: Program, limits: SandboxLimits, host: ProgramHost) -> Transcript | None:
    """What the program is known to do, with this host."""
    transcript = _remembered.get(_key(program, limits, host))
    if transcript is None or not transcript.holds_for(host):
        return None
    remember(program, limits, host, transcript)
    return transcript


def forget_all() -> None:
    """Run every program again when it is next wanted."""
    _remembered.clear()


def _key(program: Program, limits: SandboxLimits, host: ProgramHost) -> _Key:
    return program, limits, type(host)
