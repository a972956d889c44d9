"""`specforge show`: the resolved spec as TOML that loads to the same plan.

Without `--defaults` it holds what the spec, the files that it extends and `--set` say; with it also every field that they do
not mention, each with its meaning, type and origin. Data paths are absolute, so that the text means the same anywhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from specforge.cli.main import COMMANDS
from specforge.cli.spec_arguments import add_assignments, add_point, add_store, load_any_spec
from specforge.cli.views.output import result
from specforge.foundation.errors import ExitCode
from specforge.foundation.terminal import printable
from specforge.language.fields import model_at
from specforge.language.schema.document import SpecDocument
from specforge.language.text.toml_text import toml_key, toml_value
from specforge.language.text.tree_text import TreeText, is_table

if TYPE_CHECKING:
    from pydantic import BaseModel, JsonValue

    from specforge.cli.main import Subparsers
    from specforge.cli.views.fields import FieldFacts
    from specforge.language.spec import Spec, Sweep, ValuePath


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `show`."""
    parser = subparsers.add_parser(
        "show", help=COMMANDS["show"], description="Print the resolved spec as TOML that loads to the same plan."
    )
    parser.add_argument("spec", metavar="SPEC", type=Path, help="the spec file, or a plan file (.json)")
    parser.add_argument("--defaults", action="store_true", help="print every field, with its meaning, type and origin")
    add_point(parser)
    add_assignments(parser)
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the spec."""
    spec = load_any_spec(arguments.spec, arguments.assignments, arguments.point)
    writer = _AllFields(spec) if arguments.defaults else _SaidOnly(spec)
    lines = [*writer.table((), dict(spec.tree)), *(() if spec.sweep is None else _sweep(spec.sweep))]
    result("\n".join(lines).strip("\n"))
    return ExitCode.DONE


def _sweep(sweep: Sweep) -> Iterator[str]:
    """Yield the lines of `[sweep]`, with dotted keys."""
    for name, said in sweep.table.items():
        for table in said if isinstance(said, list) else [said]:
            assert isinstance(table, dict)
            yield from ("", f"[[sweep.{name}]]" if isinstance(said, list) else f"[sweep.{name}]")
            for path, value in table.items():
                yield f"{'.'.join(map(toml_key, path.split('.')))} = {toml_value(value)}"


class _SaidOnly(TreeText):
    """Writes what the spec says."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def _lines(self, path: ValuePath, key: str, value: JsonValue) -> Iterator[str]:
        """Yield the line of a value, unless nobody said it."""
        if not is_table(value) and self._is_said((*path, key)):
            yield f"{toml_key(key)} = {toml_value(value)}"

    def _is_said(self, path: ValuePath) -> bool:
        # Without its name a spec elsewhere would be called after its file.
        return path == ("name",) or self._spec.origins[path][-1].layer in {"spec", "set"}


class _AllFields(_SaidOnly):
    """Writes every field, with a comment on what it is."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self._facts: dict[type[BaseModel], dict[str, FieldFacts]] = {}

    def _lines(self, path: ValuePath, key: str, value: JsonValue) -> Iterator[str]:
        here = (*path, key)
        if is_table(value) or value == {}:
            return
        facts = self._facts_of(path).get(key)
        if facts is not None:
            bounds = f", {facts.range}" if facts.range else ""
            yield f"# {printable(facts.description, longest=500)} ({facts.type}{bounds})"
        if value is None:
            yield f"# {toml_key(key)} ="
        else:
            yield f"{toml_key(key)} = {toml_value(value)}  # {self._origin(here)}"

    def _origin(self, path: ValuePath) -> str:
        origin = self._spec.origins[path][-1]
        match origin.layer:
            case "spec":
                return printable(str(origin.place), longest=500)
            case "set":
                return f"--set {printable(origin.source)}"
            case "preset":
                return printable(origin.source)
            case "default":
                return f"default: {printable(origin.source)}"

    def _facts_of(self, path: ValuePath) -> Mapping[str, FieldFacts]:
        from specforge.cli.views.fields import fields_of  # makes JSON schemas, which takes a while

        model = self._model(path)
        if model is not None and model not in self._facts:
            self._facts[model] = {facts.name: facts for facts in fields_of(model)}
        return {} if model is None else self._facts[model]

    def _model(self, path: ValuePath) -> type[BaseModel] | None:
        """Return the model of a table: of the component that it belongs to, else of the fixed tables."""
        for length in range(len(path), 0, -1):
            part = self._spec.parts.get(path[:length])
            if part is not None:
                return model_at(type(part.config), path[length:])
        return model_at(SpecDocument, path)
