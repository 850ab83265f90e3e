"""Files that are complete or not there, and locks on them."""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from rllib_releds.errors import RunError

_WRITING = ".writing"


def absolute_file(name: Any) -> Any:
    """The absolute path of a file, for workers and for a resume from elsewhere; what names none as it is.

    Files have an ending, and the names of towns, scenarios and demands have none.
    """
    return str(Path(name).absolute()) if isinstance(name, str | Path) and Path(name).suffix else name


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, with the same ending, that takes its place if all goes well; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Threads and processes may write the same file.
    temporary = path.with_name(f"{_WRITING}.{os.getpid()}.{threading.get_ident()}.{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write the whole file or nothing: a crash leaves the old one. Raises OSError."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """As `write_bytes`; what UTF-8 cannot hold becomes a question mark."""
    write_bytes(path, text.encode("utf-8", "replace"))


def write_json(path: Path, content: Any) -> None:
    """As `write_bytes`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def file_name(text: str) -> str:
    """A text as part of a file's name: no folder, nothing that a shell or another system would take amiss, not long."""
    return re.sub(r"[^\w.-]+", "_", text).lstrip(".").encode()[:100].decode(errors="ignore") or "_"


def is_being_written(path: Path) -> bool:
    """Whether the file, or a folder that it lies in, has its name for the moment only."""
    return any(part.startswith(_WRITING) for part in path.parts)


def is_of_the_moment(path: Path) -> bool:
    """Half-written, as a killed process leaves it, or the lock of one."""
    return path.name == ".lock" or is_being_written(path)


@contextmanager
def locked(file: Path, refusal: str | None = None) -> Iterator[None]:
    """Hold a lock, as one process at a time does; a killed process holds none.

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


def is_locked(file: Path) -> bool:
    """Whether a process holds this lock."""
    try:
        with file.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def alone_in(path: Path, command: str) -> AbstractContextManager[None]:
    """Hold the only right to work in a folder, which is made if it is not there.

    Raises:
        RunError: if another process holds it, naming the command that does.
    """
    return locked(path / ".lock", f"another `{command}` works in {path}; wait for it, or give another --out")
