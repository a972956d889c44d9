"""`specforge validate`: everything that is wrong with specs, as far as it can be told without torch.

`--format json` prints `{"specs": [{"spec", "ok", "diagnostics": [...], "omitted"}]}`; a diagnostic has `code`, `severity`, `message`,
`labels`, `notes` and `help`, a label has `file`, `line`, `column`, `end_line`, `end_column`, `text` and `primary`.
`--format github` prints commands that GitHub turns into annotations.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from specforge.cli.main import COMMANDS
from specforge.cli.spec_arguments import add_assignments, add_store
from specforge.cli.views.output import note, result
from specforge.foundation.errors import ExitCode
from specforge.foundation.terminal import printable, wants_colour
from specforge.language.messages.diagnostics import Diagnostic, SpecError, render
from specforge.language.resolve import load_spec

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.cli.main import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `validate`."""
    parser = subparsers.add_parser(
        "validate",
        help=COMMANDS["validate"],
        description="Check specs without running anything and show every mistake at once; exit 2 if there is one.",
    )
    parser.add_argument("specs", metavar="SPEC", nargs="+", type=Path, help="a spec file")
    parser.add_argument(
        "--format", choices=("text", "json", "github"), default="text", help="how to print what is found"
    )
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    add_assignments(parser)
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check the specs."""
    checked = [_checked(path, arguments.assignments) for path in arguments.specs]
    match arguments.format:
        case "json":
            _print_json(checked)
        case "github":
            for spec in checked:
                for line in _annotations(spec):
                    result(line)
        case _:
            for spec in checked:
                _print_text(spec)
    return ExitCode.DONE if all(spec.is_right for spec in checked) else ExitCode.WRONG_INPUT


@dataclass(frozen=True, slots=True)
class _Checked:
    """A spec and what was found; `omitted` errors besides."""

    path: Path
    diagnostics: tuple[Diagnostic, ...]
    omitted: int = 0

    @property
    def is_right(self) -> bool:
        """Whether it can be used: warnings stop nothing."""
        return all(diagnostic.severity == "warning" for diagnostic in self.diagnostics)


def _checked(path: Path, assignments: Sequence[str]) -> _Checked:
    try:
        return _Checked(path, load_spec(path, assignments).warnings)
    except SpecError as error:
        return _Checked(path, error.diagnostics, error.omitted)


def _print_text(spec: _Checked) -> None:
    if spec.diagnostics:
        note(render(spec.diagnostics, omitted=spec.omitted, colour=wants_colour(sys.stderr)))
    if spec.is_right:
        result(f"ok: {printable(str(spec.path))}")


def _print_json(checked: Sequence[_Checked]) -> None:
    from specforge.foundation.durable import json_text  # it knows how to write files, too, which we do not

    specs: list[JsonValue] = [
        {
            "spec": str(spec.path),
            "ok": spec.is_right,
            "diagnostics": [diagnostic.as_json() for diagnostic in spec.diagnostics],
            "omitted": spec.omitted,
        }
        for spec in checked
    ]
    result(json_text({"specs": specs}).decode().removesuffix("\n"))


def _annotations(spec: _Checked) -> Iterator[str]:
    """Yield a workflow command of GitHub Actions for each diagnostic."""
    for diagnostic in spec.diagnostics:
        label = next((label for label in diagnostic.labels if label.source.name != "--set"), None)
        place = {"file": str(spec.path)}
        if label is not None:
            facts = label.as_json()
            keys = {"file": "file", "line": "line", "endLine": "end_line", "col": "column", "endColumn": "end_column"}
            place = {name: str(facts[key]) for name, key in keys.items() if facts[key] is not None}
        properties = ",".join(
            f"{name}={_property(value)}" for name, value in (place | {"title": diagnostic.code}).items()
        )
        words = [diagnostic.message, *(label.text for label in diagnostic.labels if label.text)]
        words += [*diagnostic.notes, *([diagnostic.help] if diagnostic.help else [])]
        yield f"::{diagnostic.severity} {properties}::{_data(chr(10).join(words))}"
    if spec.omitted:
        yield f"::error file={_property(str(spec.path))}::{spec.omitted:,} more errors"


def _data(text: str) -> str:
    """Escape the message of a workflow command; line ends survive as %0A."""
    lines = (printable(line, longest=1_000) for line in text.split("\n"))
    return "%0A".join(line.replace("%", "%25") for line in lines)


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
