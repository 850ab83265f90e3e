"""The one error that a user can mend, and how a reason is told."""

from __future__ import annotations

from pydantic import ValidationError


class RunError(Exception):
    """A folder, a setting or a cluster that cannot be used. The message names it and the remedy."""


def reason(error: Exception) -> str:
    """Why a file cannot be read, in one line; of entries the first that is wrong, without its value: a key may be."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return " ".join([*map(str, first["loc"]), first["msg"]])
    return " ".join(str(error).split())
