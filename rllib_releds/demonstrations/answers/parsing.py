"""From a piece of text to statements of Python. Never raises on any text, and never runs anything."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass, field

PARSE_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError)
_PROMPT_MARK = re.compile(r"^(?:>>> ?|\.\.\. ?)", re.MULTILINE)
_TYPOGRAPHY = str.maketrans({"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u2212": "-", "\uff1a": ":"})
_CONTINUES = re.compile(r"^(?:else|elif|except|finally)\b|^[)\]}]")


@dataclass
class Statements:
    """Top-level statements of a piece of Python.

    Attributes:
        parsed: those that parse, in order.
        broken: for each function in a part that does not parse, what is wrong with it.
    """

    parsed: list[ast.stmt] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def function_names(self) -> list[str]:
        """The functions, broken ones too."""
        functions = [s for s in self.parsed if isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef)]
        return [*(function.name for function in functions), *self.broken]


def parse(source: str) -> Statements:
    """Statements of `source`. If the whole does not parse, its parts that do, and what is wrong with the others."""
    tree, error = _try(source)
    for repaired in (_PROMPT_MARK.sub("", source), source.translate(_TYPOGRAPHY)):
        if tree is None and repaired != source:
            tree, _ = _try(repaired)
    if tree is not None:
        return Statements(list(tree.body))
    statements = Statements()
    for part in _parts(source):
        tree, error = _try(part)
        if tree is not None:
            statements.parsed.extend(tree.body)
            continue
        function = re.match(r"(?:@.*\n)*(?:async )?def (\w+)", part)
        if function:
            statements.broken[function[1]] = error
    return statements


def _try(source: str) -> tuple[ast.Module | None, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as an invalid escape in a string
            return ast.parse(source), ""
    except SyntaxError as error:
        line = (error.text or "").strip()[:100]
        return None, f"{type(error).__name__}: {error.msg} (line {error.lineno}: {line})"
    except PARSE_ERRORS as error:
        return None, f"{type(error).__name__}: {error}"


def _parts(source: str) -> list[str]:
    """The source cut before each line that begins a new top-level statement."""
    parts: list[list[str]] = [[]]
    for line in source.split("\n"):
        begins = line[:1] not in ("", " ") and not _CONTINUES.match(line)
        if begins and parts[-1] and not parts[-1][-1].startswith("@"):
            parts.append([])
        parts[-1].append(line)
    return ["\n".join(part) for part in parts]
