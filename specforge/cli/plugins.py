"""`specforge plugins`: the installed plugins, whether they work, and what they offer.

`--json` prints one object with `plugins`, each with distribution, version, entry_point, state (`built in`, `loaded`,
`broken`, `blocked`, `missing`), cause (null unless something is wrong), and `components` and `presets` with kind and name.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue

from specforge.cli.views import output
from specforge.cli.views.tables import table
from specforge.foundation.durable import json_text
from specforge.foundation.errors import ExitCode
from specforge.language.plugins import PluginRecord
from specforge.language.registry import load_registry
from specforge.plugin import Kind

if TYPE_CHECKING:
    from specforge.cli.main import Subparsers

_NAMED: Final = 8
"""So many components and presets are named one by one; more are counted."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of this command."""
    parser = subparsers.add_parser(
        "plugins",
        help="list the installed plugins and their state",
        description="List the installed plugins, whether they work, and what they offer. SPECFORGE_PLUGINS limits which "
        "of them are loaded: empty for none, or a list with commas of entry points or distributions.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List the plugins."""
    records = load_registry().plugins()
    if arguments.json:
        output.result(json_text({"plugins": [_as_json(record) for record in records]}).decode().removesuffix("\n"))
    else:
        table(("distribution", "version", "plugin", "state", "offers"), [_row(record) for record in records])
    return ExitCode.DONE


def _row(record: PluginRecord) -> tuple[str, ...]:
    """Return a record's cells; what does not work says why, where the others say what they offer."""
    cells = (record.distribution or "-", record.version or "-", record.entry_point, record.state)
    return (*cells, record.cause if record.cause is not None else _offers(record))


def _offers(record: PluginRecord) -> str:
    if len(record.components) + len(record.presets) > _NAMED:
        return f"{len(record.components)} components, {len(record.presets)} presets; see `specforge components`"
    by_kind: dict[Kind, list[str]] = {}
    for kind, name in (*record.components, *record.presets):
        by_kind.setdefault(kind, []).append(name)
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in by_kind.items()) or "nothing"


def _as_json(record: PluginRecord) -> JsonValue:
    named = {
        "components": [{"kind": kind, "name": name} for kind, name in record.components],
        "presets": [{"kind": kind, "name": name} for kind, name in record.presets],
    }
    return {**asdict(record), **named}
