"""Files that appear under their name complete, or not at all, and what they hold."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, cast
from xml.etree import ElementTree

import numpy as np
from platformdirs import user_cache_path

XML_ERRORS = (ElementTree.ParseError, LookupError, ValueError)
"""What reading a damaged XML file may raise, beside OSError: its encoding may be one that nobody knows, or that the
parser cannot read."""


def cache_folder(kind: str = "", cache_dir: Path | str | None = None) -> Path:
    """Where files of a kind (maps, places, networks, equilibria) are kept once they are made; the folder may not exist.

    Args:
        kind: its folder inside the cache; "" is the cache itself.
        cache_dir: the cache; None is the user's.
    """
    return (user_cache_path("sumo_marl_env") if cache_dir is None else Path(cache_dir)) / kind


def refuse_comma(path: Path, error: type[Exception], remedy: str) -> None:
    """Raises `error` with the remedy if there is a comma in the path."""
    if "," in str(path):
        raise error(f"SUMO takes the comma in {path} for the end of a file's name; {remedy}")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, and the folders that it needs; what was there before is replaced. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = Path(folder) / "draft"
        draft.write_bytes(content)
        os.replace(draft, path)


def open_unpacked(path: Path) -> BinaryIO:
    """The file, unpacked while it is read if it is compressed (.gz)."""
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def xml_elements(path: Path, event: Literal["start", "end"] = "end") -> Iterator[ElementTree.Element]:
    """Every element of an XML file, at its end or its "start"; the file may be compressed (.gz)."""
    with open_unpacked(path) as file:
        for _, element in ElementTree.iterparse(file, events=(event,)):
            yield element


def plain_number(value: object) -> float:
    """For `json.dumps(default=...)`: numpy's numbers, which users put into trips and scenarios. Raises TypeError."""
    if isinstance(value, np.generic):
        number: float = value.item()
        return number
    raise TypeError(f"{value!r} is no number")
