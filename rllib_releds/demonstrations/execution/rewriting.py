"""What the interpreter cannot do, said otherwise, so that programs need not know."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from rllib_releds.demonstrations.answers.parsing import PARSE_ERRORS

_TYPES = ("str", "list", "dict", "set", "tuple", "int", "float")
_KEYED = ("sorted", "min", "max")


def runnable(source: str) -> str:
    """The source as the sandbox runs it, line by line where it was: the same text for most programs.

    - `xs.sort(key=f)` becomes `xs[:] = sorted(xs, key=f)`: a method cannot be redefined by the prelude
    - `key=times.get` becomes `key=lambda _item: times.get(_item)`: the interpreter has no methods as values
    """
    if "key" not in source:
        return source
    plain = source.replace("\r\n", "\n").replace("\r", "\n")
    try:
        lines = [line.encode() for line in plain.split("\n")]
        nodes = list(ast.walk(ast.parse(plain)))
        # `thing.sort(...)` may be a method of the program's own.
        sorts = not any(isinstance(node, ast.FunctionDef) and node.name == "sort" for node in nodes)
        edits = [edit for node in nodes for edit in _edits(node, lines, sorts)]
        for row, begin, end, text in sorted(edits, reverse=True):
            lines[row] = lines[row][:begin] + text + lines[row][end:]
        return b"\n".join(lines).decode()
    except PARSE_ERRORS:
        return source


_Edit = tuple[int, int, int, bytes]
"""Row, where it begins and ends there in bytes, and what takes its place."""


def _edits(node: ast.AST, lines: Sequence[bytes], sorts: bool) -> Iterator[_Edit]:
    if isinstance(node, ast.Call):
        is_sort = sorts and isinstance(node.func, ast.Attribute) and node.func.attr == "sort"
        if is_sort or (isinstance(node.func, ast.Name) and node.func.id in _KEYED):
            yield from _key_edits(node, lines)
    elif sorts and isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield from _sort_edits(node.value, lines)


def _key_edits(call: ast.Call, lines: Sequence[bytes]) -> Iterator[_Edit]:
    for keyword in call.keywords:
        key = keyword.value
        if keyword.arg != "key" or not isinstance(key, ast.Attribute) or not _does_nothing(key):
            continue
        name = key.attr.encode()
        called = _text(key.value, lines) + b"." + name + b"(_item)"
        if isinstance(key.value, ast.Name) and key.value.id in _TYPES:
            # There is `item.lower()`, and no `str.lower(item)`.
            called = b"_item." + name + b"()"
        yield from _replaced(key, b"lambda _item: " + called)


def _sort_edits(call: ast.Call, lines: Sequence[bytes]) -> Iterator[_Edit]:
    sort = call.func
    if not isinstance(sort, ast.Attribute) or sort.attr != "sort" or call.args:
        return
    if _does_nothing(sort.value) and any(keyword.arg == "key" for keyword in call.keywords):
        sorted_list, first = _text(sort.value, lines), call.keywords[0]
        for edit in _replaced(sort, sorted_list + b"[:] = sorted"):
            yield edit
            yield first.lineno - 1, first.col_offset, first.col_offset, sorted_list + b", "


def _does_nothing(node: ast.expr) -> bool:
    """Whether it may be evaluated more than once."""
    return not any(isinstance(inner, ast.Call | ast.NamedExpr) for inner in ast.walk(node))


def _replaced(node: ast.expr, text: bytes) -> Iterator[_Edit]:
    """Nothing for what stands in several lines."""
    if node.lineno == node.end_lineno and node.end_col_offset is not None:
        yield node.lineno - 1, node.col_offset, node.end_col_offset, text


def _text(node: ast.expr, lines: Sequence[bytes]) -> bytes:
    """In brackets: those of `(a or b).get` belong to no part of it."""
    return b"(" + lines[node.lineno - 1][node.col_offset : node.end_col_offset] + b")"
