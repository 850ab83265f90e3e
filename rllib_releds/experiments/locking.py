"""One process at a time: whoever holds the lock of a folder may write there, and a killed process holds none."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rllib_releds.errors import RunError


@contextmanager
def locked(file: Path, refusal: str | None = None) -> Iterator[None]:
    """Hold a lock.

    Args:
        file: the lock's own, which stays; its folder is made if it is not there.
        refusal: what to say if another process holds it; None waits for it.

    Raises:
        RunError: with the refusal.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if refusal is None else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(refusal) from None
        yield


@contextmanager
def alone_in(path: Path, command: str) -> Iterator[None]:
    """Hold the only right to work in a folder, which is made if it is not there.

    Raises:
        RunError: if another process holds it, naming the command that does.
    """
    with locked(path / ".lock", f"another `{command}` works in {path}; wait for it, or give another --out"):
        yield
