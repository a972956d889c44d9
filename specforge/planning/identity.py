"""Who a component is, in keys: `distribution/name@version`, and for code under edit what the code says.

The integer version is a promise of its author. A distribution that is installed editable is being worked on, so nobody has
promised anything yet: its identity also holds a digest of the syntax trees of its modules. Comments, blank lines and
docstrings change nothing.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from specforge.foundation.canonical import digest_json
from specforge.language.plugins import GROUP
from specforge.language.spec import Registered

_OWN_PACKAGE: Final = "specforge"
_SHOWN: Final = 16  # characters of the digest: 64 bits tell any two states of one plugin apart


def component_identity(registered: Registered) -> str:
    """Return what keys hold for a component: `specforge/transformer@1`, `my-plugin/mega@1+5e1c9a0753b1d2aa`."""
    packages = {text.partition(":")[0].partition(".")[0] for text in _import_strings(registered)} - {_OWN_PACKAGE}
    if not packages or not _is_editable(registered.distribution):
        return registered.identity
    digest = digest_json([[package, package_digest(package)] for package in sorted(packages)])
    return f"{registered.identity}+{digest[:_SHOWN]}"


def distribution_digest(distribution: str) -> str | None:
    """Return what stands for the code of a plugin's distribution that is installed editable; None for any other.

    It is told from what is installed alone: nothing of the distribution is imported.
    """
    if not _is_editable(distribution):
        return None
    entries = importlib.metadata.distribution(distribution).entry_points.select(group=GROUP)
    packages = sorted({entry.module.partition(".")[0] for entry in entries})
    return digest_json([[package, package_digest(package)] for package in packages])[:_SHOWN]


def _import_strings(registered: Registered) -> tuple[str, str]:
    return registered.component.config, registered.component.factory


@cache
def _is_editable(distribution: str) -> bool:
    """Whether a distribution is installed editable, as PEP 610 records it."""
    try:
        text = importlib.metadata.distribution(distribution).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return False
    if text is None:
        return False
    directory = json.loads(text).get("dir_info", {})
    return directory.get("editable") is True


@cache
def package_digest(package: str) -> str:
    """Return the digest of the syntax trees of a package's modules; the package itself is not imported."""
    spec = importlib.util.find_spec(package)
    folders = [] if spec is None else [Path(folder) for folder in spec.submodule_search_locations or ()]
    sources = [(path.relative_to(folder).as_posix(), path) for folder in folders for path in folder.rglob("*.py")]
    if not folders and spec is not None and spec.origin is not None:
        sources = [(Path(spec.origin).name, Path(spec.origin))]
    return digest_json({name: _tree(ast.parse(path.read_bytes())) for name, path in sorted(sources)})


def _tree(node: ast.AST) -> JsonValue:
    """Return a syntax tree as JSON, without positions, docstrings and empty fields (which differ between Pythons)."""
    fields: dict[str, JsonValue] = {}
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            value = value[1:] if ast.get_docstring(node, clean=False) is not None else value  # noqa: PLW2901
        if value is not None and value != []:
            fields[name] = _field(value)
    return [type(node).__name__, fields]


def _field(value: object) -> JsonValue:
    if isinstance(value, ast.AST):
        return _tree(value)
    if isinstance(value, list):
        return [_field(item) for item in value]
    return value if isinstance(value, str | int) else [type(value).__name__, repr(value)]
