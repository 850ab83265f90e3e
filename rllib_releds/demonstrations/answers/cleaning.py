"""Small repairs to the Python that chat models write, on its syntax tree: what the sandbox lacks and does not need."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence

from rllib_releds.demonstrations.answers.replies import PARSE_ERRORS
from rllib_releds.demonstrations.execution.calls import FunctionTable

_TYPES = ("str", "list", "dict", "set", "tuple", "int", "float")


def clean_statement(statement: ast.stmt, functions: FunctionTable) -> list[ast.stmt]:
    """The statement as the sandbox can take it; an empty list if it must go.

    - definitions, assignments and imports of the functions that programs may call go: they exist already
    - `navigation.get_origin()` becomes `get_origin()`; `async` and `await` go
    - imports of modules that are not Python's own go; `from navigation import get_origin as o` becomes `o = get_origin`
    """
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and statement.name in functions:
        return []
    if isinstance(statement, ast.Assign | ast.AnnAssign) and _binds_only(statement, functions):
        return []
    cleaned = _Cleaner(functions).visit(ast.Module([statement], []))
    return ast.fix_missing_locations(cleaned).body


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
        edits = [edit for node in ast.walk(ast.parse(plain)) for edit in _edits(node, lines)]
        for row, begin, end, text in sorted(edits, reverse=True):
            lines[row] = lines[row][:begin] + text + lines[row][end:]
        return b"\n".join(lines).decode()
    except PARSE_ERRORS:
        return source


_Edit = tuple[int, int, int, bytes]
"""Row, where it begins and ends there in bytes, and what takes its place."""


def _edits(node: ast.AST, lines: Sequence[bytes]) -> Iterator[_Edit]:
    if isinstance(node, ast.keyword) and node.arg == "key" and isinstance(node.value, ast.Attribute):
        if not _does_nothing(node.value):
            return
        owner, name = node.value.value, node.value.attr.encode()
        called = _text(owner, lines) + b"." + name + b"(_item)"
        if isinstance(owner, ast.Name) and owner.id in _TYPES:
            # There is `item.lower()`, and no `str.lower(item)`.
            called = b"_item." + name + b"()"
        yield from _replaced(node.value, b"lambda _item: " + called, lines)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield from _sort_edits(node.value, lines)


def _sort_edits(call: ast.Call, lines: Sequence[bytes]) -> Iterator[_Edit]:
    sort = call.func
    if not isinstance(sort, ast.Attribute) or sort.attr != "sort" or call.args:
        return
    if _does_nothing(sort.value) and any(keyword.arg == "key" for keyword in call.keywords):
        sorted_list, first = _text(sort.value, lines), call.keywords[0]
        for edit in _replaced(sort, sorted_list + b"[:] = sorted", lines):
            yield edit
            yield first.lineno - 1, first.col_offset, first.col_offset, sorted_list + b", "


def _does_nothing(node: ast.expr) -> bool:
    """Whether it may be evaluated more than once."""
    return not any(isinstance(inner, ast.Call | ast.NamedExpr) for inner in ast.walk(node))


def _replaced(node: ast.expr, text: bytes, lines: Sequence[bytes]) -> Iterator[_Edit]:
    """Nothing for what stands in several lines."""
    if node.lineno == node.end_lineno and node.end_col_offset is not None:
        yield node.lineno - 1, node.col_offset, node.end_col_offset, text


def _text(node: ast.expr, lines: Sequence[bytes]) -> bytes:
    return lines[node.lineno - 1][node.col_offset : node.end_col_offset]


def _binds_only(statement: ast.Assign | ast.AnnAssign, functions: FunctionTable) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return all(isinstance(target, ast.Name) and target.id in functions for target in targets)


class _Cleaner(ast.NodeTransformer):
    def __init__(self, functions: FunctionTable) -> None:
        self.functions = functions

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        plain = ast.FunctionDef(node.name, node.args, node.body, node.decorator_list, node.returns, node.type_comment)
        return self.visit_FunctionDef(ast.copy_location(plain, node))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.body = [s for s in node.body if not (isinstance(s, ast.FunctionDef) and s.name in self.functions)] or [
            ast.Pass()
        ]
        return node

    def visit_Await(self, node: ast.Await) -> ast.AST:
        return self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        function = node.func
        runs = (
            isinstance(function, ast.Attribute)
            and function.attr in ("run", "create_task")
            and isinstance(function.value, ast.Name)
            and function.value.id == "asyncio"
        )
        return node.args[0] if runs and len(node.args) == 1 else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr in self.functions and isinstance(node.value, ast.Name) and isinstance(node.ctx, ast.Load):
            return ast.copy_location(ast.Name(node.attr, ast.Load()), node)
        return node

    def visit_Import(self, node: ast.Import) -> ast.AST:
        node.names = [alias for alias in node.names if alias.name.split(".")[0] in sys.stdlib_module_names]
        return node if node.names else self._nothing(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        aliases = [
            ast.copy_location(ast.Assign([ast.Name(new, ast.Store())], ast.Name(old, ast.Load())), node)
            for old, new in ((alias.name, alias.asname) for alias in node.names)
            if new is not None and old in self.functions
        ]
        is_ours = (node.module or "").split(".")[0] in sys.stdlib_module_names and not node.level
        node.names = [alias for alias in node.names if is_ours and alias.name not in self.functions]
        return [*aliases, node if node.names else self._nothing(node)]

    @staticmethod
    def _nothing(node: ast.AST) -> ast.stmt:
        """A statement that does nothing: a body must not become empty."""
        return ast.copy_location(ast.Pass(), node)
