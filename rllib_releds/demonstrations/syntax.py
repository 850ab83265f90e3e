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


def defined_names(statement: ast.stmt) -> set[str]:
    """Names to which a top-level statement gives a new meaning: not `X[0] = 1`, `X = [*X, 1]` or a loop's `n`."""
    names: set[str] = set()
    waiting = [statement]
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(part.name)
        elif isinstance(part, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in part.names}
        elif isinstance(part, ast.Assign | ast.AnnAssign) and part.value is not None:
            targets = part.targets if isinstance(part, ast.Assign) else [part.target]
            read = {child.id for child in ast.walk(part.value) if isinstance(child, ast.Name)}
            names |= {target.id for target in targets if isinstance(target, ast.Name)} - read
        else:
            waiting.extend(child for child in ast.iter_child_nodes(part) if isinstance(child, ast.stmt))
    return names
