"""Errors that end a command in one line, and how reasons are told."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

T = TypeVar("T", bound=str)


class RunError(Exception):
    """A folder, a setting or a cluster that cannot be used. The message names it and the remedy."""


class RolloutError(RuntimeError):
    """A task failed on an env runner (its traceback is in the message), or no env runner was left to do it."""


def reason(error: Exception) -> str:
    """Why a file cannot be read, in one line; of entries the first that is wrong, without its value: a key may be."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return " ".join([*map(str, first["loc"]), first["msg"]])
    return " ".join(str(error).split())


def last_line(text: str) -> str:
    """The end of a traceback: what went wrong."""
    return text.strip().rsplit("\n", 1)[-1]


def going_on(run: Path) -> str:
    """The command that goes on with a run, as a shell takes it."""
    return f"reled resume {shlex.quote(str(run))}"


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """What to say of a name that is none of the known ones."""
    return f"unknown {what} {name!r}; choose {', '.join(known)}"


def one_of(what: str, name: str, known: Collection[T]) -> T:
    """The name, if it is a known one.

    Raises:
        RunError: if not, with those that there are.
    """
    for one in known:
        if one == name:
            return one
    raise RunError(unknown(what, name, known))


def printable(text: str) -> str:
    """A model's text for a terminal: what would move the cursor or set the title is spelled out."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], text)
