"""What single functions and statements of a program are about, on the syntax tree."""

from __future__ import annotations

import ast


def required_parameters(function: ast.FunctionDef) -> list[str]:
    """Parameters without a default."""
    positional = [*function.args.posonlyargs, *function.args.args]
    positional = positional[: len(positional) - len(function.args.defaults)]
    by_name = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return [parameter.arg for parameter in [*positional, *(p for p, default in by_name if default is None)]]


def bound_names(statement: ast.stmt) -> set[str]:
    """Names that a top-level statement assigns, or whose value it may change."""
    stored = {c.id for c in ast.walk(statement) if isinstance(c, ast.Name) and isinstance(c.ctx, ast.Store)}
    changed = {
        child.value.id
        for child in ast.walk(statement)
        if isinstance(child, ast.Attribute | ast.Subscript) and isinstance(child.value, ast.Name)
    }
    return stored | (changed if not isinstance(statement, ast.Assign | ast.AnnAssign) or not stored else set())


def is_table(statement: ast.stmt) -> bool:
    """Whether a statement merely lists functions, such as `ROUTES = [route_1, route_2]`; an alias of one is no list."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or isinstance(statement.value, ast.Name):
        return False
    return not any(isinstance(child, ast.Call) for child in ast.walk(statement))
