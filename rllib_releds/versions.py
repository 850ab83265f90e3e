"""Which versions of packages results depend on."""

from __future__ import annotations

from importlib import metadata

PACKAGES = ("ray", "torch", "numpy", "gymnasium", "pettingzoo", "eclipse-sumo", "libsumo", "pydantic-monty")
"""All that training needs."""


def installed(name: str) -> str | None:
    """The version of a package here; None without it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
