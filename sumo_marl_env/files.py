"""Files that appear under their name complete, or not at all, and what they hold."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np
from platformdirs import user_cache_path


def cache_folder(kind: str = "", cache_dir: Path | str | None = None) -> Path:
    """Where files of a kind (maps, places, networks, equilibria) are kept once they are made; the folder may not exist.

    Args:
        kind: its folder inside the cache; "" is the cache itself.
        cache_dir: the cache; None is the user's.
    """
    return (user_cache_path("sumo_marl_env") if cache_dir is None else Path(cache_dir)) / kind


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, and the folders that it needs; what was there before is replaced. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = Path(folder) / "draft"
        draft.write_bytes(content)
        os.replace(draft, path)


def read_bytes(path: Path) -> bytes:
    """What is in the file, unpacked if it is compressed (.gz)."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def xml_elements(path: Path, event: Literal["start", "end"] = "end") -> Iterator[ElementTree.Element]:
    """Every element of an XML file, at its end or its "start"; the file may be compressed (.gz)."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for _, element in ElementTree.iterparse(file, events=(event,)):
            yield element


def plain_number(value: object) -> float:
    """For `json.dumps(default=...)`: numpy's numbers, which users put into trips and scenarios. Raises TypeError."""
    if isinstance(value, np.generic):
        number: float = value.item()
        return number
    raise TypeError(f"{value!r} is no number")
