"""`specforge lock`: writes or renews the lock file of a spec."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from specforge.cli.lock_check import LockState, lock_state
from specforge.cli.main import COMMANDS
from specforge.cli.spec_arguments import add_assignments, add_store, is_plan_file, load_experiments
from specforge.cli.views.output import result
from specforge.foundation import durable
from specforge.foundation.errors import ExitCode, Place, RefusedError, WrongInputError
from specforge.foundation.terminal import printable
from specforge.planning.lock.changes import Change
from specforge.planning.lock.contents import Lock
from specforge.planning.lock.text import lock_text

if TYPE_CHECKING:
    from specforge.cli.main import Subparsers

_PARTS = ("data", "plugins")


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `lock`."""
    parser = subparsers.add_parser(
        "lock",
        help=COMMANDS["lock"],
        description="Write what a spec's results are made from into a lock file beside it: `wmt.toml` → `wmt.lock`.",
    )
    parser.add_argument("spec", metavar="SPEC", type=Path, help="the spec file")
    parser.add_argument(
        "--update",
        choices=_PARTS,
        help="renew this part alone: digests of the data, or versions of plugins and components; refuse if more differs",
    )
    parser.add_argument("--json", action="store_true", help="print JSON (docs/reference/json.md)")
    add_assignments(parser)
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the lock file, unless it says the same already."""
    if is_plan_file(arguments.spec):
        raise WrongInputError("SF115", "`lock` takes a spec: a plan file holds a lock of its own")
    state = lock_state(*load_experiments(arguments.spec, arguments.assignments, arguments.store))
    if arguments.update is not None:
        _check_part(state, arguments.update)
    written = state.locked != state.now
    if written:
        text = lock_text(state.now, arguments.spec.name)
        durable.replace_file(state.path, text.encode())
    if arguments.json:
        document = {"format": 1, **state.as_json(), "up_to_date": True, "written": written}
        result(json.dumps(document, indent=2, ensure_ascii=False))
        return ExitCode.DONE
    for line in _text(state, written=written):
        result(line)
    return ExitCode.DONE


def _check_part(state: LockState, part: str) -> None:
    """Refuse to renew one part when that would hide a difference in another one."""
    if state.locked is None:
        help_text = "without `--update` the whole lock is written"
        raise RefusedError("SF652", "there is no lock file to update", place=Place(str(state.path)), help=help_text)
    others = [change for change in state.mattering if change.cause != part]
    if others:
        raise RefusedError(
            "SF654",
            f"not only the {part} differ from what is locked",
            place=Place(str(state.path)),
            notes=tuple(map(str, others)),
            help="undo these, or renew the whole lock without `--update`",
        )


def _text(state: LockState, *, written: bool) -> Iterator[str]:
    name = printable(str(state.path))
    if not written:
        yield f"{name} is up to date"
    elif state.locked is None:
        yield f"{name} written: {_counts(state.now)}"
    else:
        yield f"{name} renewed"
        yield from change_lines(state.changes)


def change_lines(changes: Sequence[Change]) -> Iterator[str]:
    """Yield a line for each difference; those that change no result say so."""
    for change in changes:
        yield f"  {change}" + ("" if change.matters else ", changes no result")


def _counts(lock: Lock) -> str:
    parts = (
        (len(lock.component), "component"),
        (len(lock.plugin), "plugin"),
        (len(lock.data), "data file"),
        (len(lock.step), "step"),
    )
    return ", ".join(f"{count} {word}{'s' * (count != 1)}" for count, word in parts if count)
