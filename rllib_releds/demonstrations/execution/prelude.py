"""Builtins that take a function, again: the interpreter's own cannot pause while they call it."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_KEYED = frozenset({"sorted", "min", "max"})
_PREFIX = "_sandbox_"


def prelude(source: str) -> str:
    """Python that redefines those of them which `source` may need; "" for most programs.

    Only what is needed, because every pause of a program costs time in proportion to what is defined in it.
    """
    words = set(re.findall(r"\w+", source))
    wanted = {name for name in _definitions() if not name.startswith(_PREFIX)} & words
    if "key" not in words:
        wanted -= _KEYED
    needed: set[str] = set()
    while wanted:
        name = wanted.pop()
        needed.add(name)
        wanted |= {word for word in re.findall(rf"{_PREFIX}\w+", _definitions()[name]) if word not in needed}
    return "\n\n".join(text for name, text in _definitions().items() if name in needed)


@cache
def _definitions() -> Mapping[str, str]:
    """Each top-level definition by its name, in their order."""
    text = (Path(__file__).with_name("prelude.py.txt")).read_text(encoding="utf-8")
    definitions = {}
    for statement in ast.parse(text).body:
        text = ast.unparse(statement)
        name = statement.name if isinstance(statement, ast.FunctionDef) else text.split(" = ")[0]
        definitions[name] = text
    return definitions
