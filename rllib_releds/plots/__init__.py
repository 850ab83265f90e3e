"""Figures: one function each, from a table or records to a matplotlib Figure; they know no results of the paper.

Matplotlib is an optional extra that takes a second to import; this module does not need it, those beside it do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rllib_releds.errors import RunError


@contextmanager
def needs_matplotlib(remedy: str) -> Iterator[None]:
    """Around an import of what draws.

    Args:
        remedy: what draws the figures once Matplotlib is there.

    Raises:
        RunError: if Matplotlib is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise RunError(f"figures need Matplotlib: pip install 'rllib-releds[plot]', then {remedy}") from error
