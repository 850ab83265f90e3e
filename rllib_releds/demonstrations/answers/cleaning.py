"""Small repairs to the Python that chat models write, on its syntax tree: what the sandbox lacks and does not need."""

from __future__ import annotations

import ast
import sys

from rllib_releds.demonstrations.functions import FunctionTable


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
        match node:
            case ast.Call(ast.Attribute(ast.Name("asyncio"), "run" | "create_task"), [coroutine]):
                return coroutine
        return node

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
