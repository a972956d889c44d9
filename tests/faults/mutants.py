"""The storage module with one safeguard taken out: a sync, a rename, a digest, a comparison.

Made from its syntax tree, so that a safeguard that is added later is taken out by itself.
"""

from __future__ import annotations

import ast
import copy
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from promises import PROMISES, broken, damage

from specforge.foundation import durable

_SAFEGUARDS: Final = frozenset({"fsync", "sync_folder", "rename", "flush", "update"})


def mutants() -> Iterator[tuple[str, str]]:
    """Yield each mutant as what is missing and the module's text without it."""
    tree = ast.parse(Path(durable.__file__).read_text())
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        calls = [
            node for node in ast.walk(function) if isinstance(node, ast.Expr) and _called(node.value) in _SAFEGUARDS
        ]
        for node in calls:
            # what a log's `flush` does shows only where its file is buffered, and ours are not
            if [_called(call.value) for call in calls] != ["flush"]:
                yield f"{function.name}: {ast.unparse(node)} (line {node.lineno})", _without(tree, node)
    (verify,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "verify")
    comparison = next(
        node for node in ast.walk(verify) if isinstance(node, ast.If) and "listed" in ast.unparse(node.test)
    )
    yield "verify: the comparison", _without(tree, comparison)


def _called(node: ast.expr) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)


def _without(tree: ast.Module, node: ast.stmt) -> str:
    changed = copy.deepcopy(tree)
    (twin,) = (
        other
        for other in ast.walk(changed)
        if type(other) is type(node)
        and isinstance(other, ast.stmt)
        and (other.lineno, other.col_offset) == (node.lineno, node.col_offset)
    )

    class _Remover(ast.NodeTransformer):
        def visit(self, other: ast.AST) -> ast.AST:
            return ast.Pass() if other is twin else self.generic_visit(other)

    return ast.unparse(ast.fix_missing_locations(_Remover().visit(changed)))


def caught(text: str) -> None:
    """Run all promises against a mutant and exit with 1 when one is broken; for a process of its own."""
    exec(compile(text, "mutant of durable.py", "exec"), vars(durable))  # noqa: S102  # our own source, less one line
    for name, promise in PROMISES.items():
        folder = Path(tempfile.mkdtemp(prefix=f"mutant-{name}-"))
        try:
            fault = broken(promise, folder)
        except OSError as error:
            fault = str(error)
        if fault is not None:
            sys.exit(1)
    sys.exit(1 if damage(Path(tempfile.mkdtemp(prefix="mutant-damage-"))) else 0)
