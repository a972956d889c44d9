"""`specforge migrate`: edits specs so that they say with present fields what they said with former ones.

Only files that are named on the command line are edited; a former field in a file that one of them extends is pointed out.
Comments, order and spelling stay. `--json` prints one object: `files`, each with `file`, `written` and `changes`, and `left`,
the same of files that were not named. A change has `line`, `column`, `table`, `field`, `present` (field → value), `component`,
`version` (the first one without the field) and `mention` (true where a path of `unset` or of a sweep is renamed).
"""

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from specforge.cli.main import COMMANDS
from specforge.cli.spec_arguments import add_assignments, add_store
from specforge.cli.views.output import columns, note, result
from specforge.foundation.durable import json_text, replace_file
from specforge.foundation.errors import ExitCode, Place
from specforge.foundation.terminal import printable
from specforge.language.components import check_components
from specforge.language.layers import read_layers
from specforge.language.merge import merge
from specforge.language.messages.diagnostics import Diagnostic, SpecError, in_order
from specforge.language.messages.wording import dotted, table_name
from specforge.language.migration.migrations import Former, find_former
from specforge.language.migration.rewriting import rewritten
from specforge.language.registry import load_registry

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.cli.main import Subparsers
    from specforge.language.spec import ValuePath
    from specforge.language.text.source import Source


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `migrate`."""
    parser = subparsers.add_parser(
        "migrate",
        help=COMMANDS["migrate"],
        description="Edit specs written for earlier versions of their components. Shows the difference and keeps comments, "
        "order and spelling. Files that a spec extends are edited only if they are named, too.",
    )
    parser.add_argument("specs", metavar="SPEC", nargs="+", type=Path, help="a spec file, or one that it extends")
    parser.add_argument("--dry-run", action="store_true", help="show the difference and write nothing")
    parser.add_argument("--exit-code", action="store_true", help="exit 1 if there is something to migrate")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_assignments(parser)
    add_store(parser)


@dataclass(frozen=True, slots=True)
class _File:
    """A file with former fields.

    Args:
        source: what was read.
        path: where it really is.
        formers: its former fields, in the order of the file.
        old, new: its bytes before and after; None where it is not edited because nobody named it.
    """

    source: Source
    path: Path
    formers: tuple[Former, ...]
    old: bytes | None = None
    new: bytes | None = None


def run(arguments: argparse.Namespace) -> int:
    """Edit the specs, all of them or, where something is wrong with one, none."""
    named = {_real(str(path)): path for path in arguments.specs}
    found: dict[Path, dict[ValuePath, Former]] = {}
    for path in arguments.specs:
        for former in _former_fields(path, arguments.assignments):
            _add(found.setdefault(_real(former.layer.source.text.name), {}), former)
    files = list(_files(found, named.keys()))
    for file in files:
        if file.new is not None and not arguments.dry_run:
            replace_file(file.path, file.new, mode=stat.S_IMODE(file.path.stat().st_mode))
    if arguments.json:
        result(json_text(_as_json(files, dry=arguments.dry_run)).decode().removesuffix("\n"))
    else:
        _print_text(files, dry=arguments.dry_run)
        for path in (path for real, path in named.items() if real not in found):
            result(f"nothing to migrate: {printable(str(path))}")
        _print_left(files, arguments.specs)
    return ExitCode.DIFFERENT if arguments.exit_code and files else ExitCode.DONE


def _real(name: str) -> Path:
    return Path(os.path.realpath(name))


def _former_fields(path: Path, assignments: Sequence[str]) -> tuple[Former, ...]:
    """Return the former fields of a spec and of the files that it extends.

    Raises:
        SpecError: a file cannot be read, or holds a former field that nothing can be said for.
    """
    stack = read_layers(path, assignments)
    if stack.diagnostics:
        raise SpecError(in_order(stack.diagnostics, stack.rank))
    merged = merge(stack.layers)
    registry = load_registry()
    findings = find_former(merged, check_components(merged, registry).tables, registry)
    if findings.diagnostics:
        raise SpecError(in_order(findings.diagnostics, stack.rank))
    return tuple(former for former in findings.fields if former.layer.source.layer == "spec")


def _add(formers: dict[ValuePath, Former], former: Former) -> None:
    """Add what one spec says of a file that another one may have something to say of."""
    other = formers.setdefault(former.typed, former)
    if other.present != former.present:
        label = former.layer.label((*former.table, former.field), "this is another component in each of them", key=True)
        message = f"the specs mean different things by `{printable(former.field)}`"
        raise SpecError([Diagnostic("SF130", message, (label,), help="migrate one spec at a time")])


def _files(found: Mapping[Path, Mapping[ValuePath, Former]], named: AbstractSet[Path]) -> Iterator[_File]:
    """Yield the files to edit, then what is left alone.

    What an `unset` removes must be called there as it is called where it is set, so it waits for that file.
    """
    elsewhere = [former for path, formers in found.items() if path not in named for former in formers.values()]
    waits_for = {(former.table, former.field) for former in elsewhere}
    left = {path: list(formers.values()) for path, formers in found.items() if path not in named}
    for path in (path for path in found if path in named):
        formers = sorted(found[path].values(), key=lambda former: former.span.start)
        waiting = [each for each in formers if each.typed[0] == "unset" and (each.table, each.field) in waits_for]
        ready = [each for each in formers if each not in waiting]
        if ready:
            source, old = ready[0].layer.source, path.read_bytes()
            yield _File(source, path, tuple(ready), old, rewritten(old, source, ready))
        if waiting:
            left[path] = waiting
    for path, formers in left.items():
        yield _File(formers[0].layer.source, path, tuple(sorted(formers, key=lambda former: former.span.start)))


def _print_text(files: Sequence[_File], *, dry: bool) -> None:
    for file in files:
        if file.old is None or file.new is None:
            continue
        name = printable(file.source.text.name, longest=500)
        before, after = (data.decode("utf-8-sig").replace("\r\n", "\n").split("\n") for data in (file.old, file.new))
        for line in difflib.unified_diff(before, after, name, f"{name} (migrated)", lineterm=""):
            result(printable(line, longest=1_000))
        note(f"{'would be ' if dry else ''}migrated: {name}")
        for line in columns([_cells(former) for former in file.formers]):
            note(line)


def _cells(former: Former) -> tuple[str, str, str, str]:
    line, _ = former.layer.source.text.line_and_column(former.span.start)
    since = f"since version {former.version} of {printable(former.component)}"
    return f"line {line}", table_name(former.table), printable(former.summary(), longest=500), since


def _print_left(files: Sequence[_File], specs: Sequence[Path]) -> None:
    """Print what is former in files that nobody named."""
    left = [file for file in files if file.new is None]
    for former in (former for file in left for former in file.formers):
        source = former.layer.source.text
        place = Place(printable(source.name, longest=500), *source.line_and_column(former.span.start))
        note(f"left alone: {place}: {printable(former.summary(), longest=500)}")
    if left:
        words = dict.fromkeys([*(str(path) for path in specs), *(file.source.text.name for file in left)])
        note(f"  = help: `specforge migrate {printable(shlex.join(words), longest=500)}` edits these, too")


def _as_json(files: Sequence[_File], *, dry: bool) -> JsonValue:
    def listed(*, left: bool) -> list[JsonValue]:
        chosen = [file for file in files if (file.new is None) == left]
        return [
            {
                "file": file.source.text.name,
                "written": not (left or dry),
                "changes": [_change(former) for former in file.formers],
            }
            for file in chosen
        ]

    return {"files": listed(left=False), "left": listed(left=True)}


def _change(former: Former) -> JsonValue:
    line, column = former.layer.source.text.line_and_column(former.span.start)
    return {
        "line": line,
        "column": column,
        "table": dotted(former.table),
        "field": former.field,
        "present": dict(former.present),
        "component": former.component,
        "version": former.version,
        "mention": former.mention,
    }
