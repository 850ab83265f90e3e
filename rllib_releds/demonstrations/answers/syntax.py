"""What single functions and statements of a program are about, on the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Collection


def required_parameters(function: ast.FunctionDef) -> list[str]:
    """Parameters without a default."""
    positional = [*function.args.posonlyargs, *function.args.args]
    positional = positional[: len(positional) - len(function.args.defaults)]
    by_name = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return [parameter.arg for parameter in [*positional, *(p for p, default in by_name if default is None)]]


def bound_names(statement: ast.stmt) -> set[str]:
    """Names that a top-level statement assigns, or whose value it may change: `A` and `B` in `A[0], B = 1, 2`.

    What a comprehension calls its items has no meaning beyond it.
    """
    items = {p for c in ast.walk(statement) if isinstance(c, ast.comprehension) for p in ast.walk(c.target)}
    names: set[str] = set()
    for child in ast.walk(statement):
        target: ast.AST = child
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Call):
            target = child.value.func  # `X[0].append(1)`
            if not isinstance(target, ast.Attribute):
                continue
        elif child in items or isinstance(getattr(child, "ctx", ast.Load()), ast.Load):
            continue
        while isinstance(target, ast.Subscript | ast.Attribute):
            target = target.value
        if isinstance(target, ast.Name):
            names.add(target.id)
    return names


def drives_nothing(statement: ast.stmt, movements: Collection[str]) -> bool:
    """Whether a statement merely gives functions a name, or lists them.

    `go = move_to_by_shortest_path`, `hop = lambda node: go(node)` and `ROUTES = [route_1, route_2]` do. An alias of
    any other function is no business of this one: it may be an agent's program.
    """
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return False
    if isinstance(statement.value, ast.Name):
        return statement.value.id in movements
    waiting: list[ast.AST] = [statement]
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.Call):
            return False
        # The body of a lambda is not run here; the defaults of its parameters are.
        waiting.extend(ast.iter_child_nodes(part.args if isinstance(part, ast.Lambda) else part))
    return True


def imported_names(statement: ast.stmt) -> set[str]:
    """Names that imports anywhere in a statement bind."""
    imports = [part for part in ast.walk(statement) if isinstance(part, ast.Import | ast.ImportFrom)]
    return {(alias.asname or alias.name).split(".")[0] for part in imports for alias in part.names}


def defined_names(statement: ast.stmt) -> set[str]:
    """Names to which a top-level statement gives a new meaning: not `X[0] = 1`, `X = [*X, 1]` or a loop's `n`."""
    names: set[str] = set()
    waiting = [statement]
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.FunctionDef | ast.ClassDef):
            names.add(part.name)
        elif isinstance(part, ast.Import | ast.ImportFrom):
            names |= imported_names(part)
        elif isinstance(part, ast.Assign | ast.AnnAssign) and part.value is not None:
            targets = part.targets if isinstance(part, ast.Assign) else [part.target]
            read = {child.id for child in ast.walk(part.value) if isinstance(child, ast.Name)}
            names |= {target.id for target in targets if isinstance(target, ast.Name)} - read
        else:
            waiting.extend(child for child in ast.iter_child_nodes(part) if isinstance(child, ast.stmt))
    return names
