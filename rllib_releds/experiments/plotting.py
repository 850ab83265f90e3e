"""Figures are drawn with Matplotlib, an optional extra that takes a second to import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rllib_releds.errors import RunError


@contextmanager
def plots(remedy: str) -> Iterator[None]:
    """Around an import of `rllib_releds.plots`.

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
