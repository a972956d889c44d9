"""`specforge schema`: the JSON Schema of specs, with the plugins that are installed.

Without `--write` it goes to standard output. With it, it is written into the store's folder, where the first line of a spec
(`#:schema .specforge/schema.json`) points an editor to it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from specforge.cli.main import COMMANDS
from specforge.cli.spec_arguments import add_store
from specforge.cli.views.output import note, result
from specforge.foundation.durable import json_text, replace_file
from specforge.foundation.errors import ExitCode, Place, WrongInputError
from specforge.foundation.terminal import printable
from specforge.language.json_schema.document import spec_schema
from specforge.language.registry import load_registry
from specforge.storage.store import Store, locate

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.cli.main import Subparsers

SCHEMA_FILE: Final = "schema.json"


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `schema`."""
    parser = subparsers.add_parser(
        "schema",
        help=COMMANDS["schema"],
        description="Print the JSON Schema of specs, installed plugins included, for editors with a TOML language server.",
    )
    parser.add_argument(
        "--write",
        nargs="?",
        const=Path(),
        type=Path,
        metavar="SPEC",
        help="write it to .specforge/schema.json above SPEC (a file or a folder; default: the working directory) instead "
        "of printing it",
    )
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print or write the schema."""
    found = spec_schema(load_registry())
    for sentence in found.left_out:
        note(f"warning: not in the schema: {printable(sentence, longest=500)}")
    if arguments.write is None:
        result(json_text(found.schema).decode().removesuffix("\n"))
    else:
        _write(found.schema, arguments.write, arguments.store)
    return ExitCode.DONE


def _write(schema: JsonValue, place: Path, option: str | None) -> None:
    if not place.exists():
        raise WrongInputError("SF501", "no such file", place=Place(printable(str(place), longest=500)))
    home = place.resolve() if place.is_dir() else place.resolve().parent
    store = Store(locate(home / "spec.toml", option))  # any spec in that folder
    store.create()
    path = store.root / SCHEMA_FILE
    replace_file(path, json_text(schema))
    result(printable(str(path), longest=500))
    typed = Path(os.path.relpath(path, home)).as_posix()
    note(f"first line of a spec in {printable(str(home), longest=500)}:\n#:schema {printable(typed, longest=500)}")
