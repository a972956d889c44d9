"""`specforge diff`: two specs compared by meaning."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from specforge.cli.main import COMMANDS
from specforge.cli.spec_arguments import add_assignments, add_store, load_experiment
from specforge.cli.views.output import result
from specforge.foundation.errors import ExitCode

if TYPE_CHECKING:
    from specforge.cli.main import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `diff`."""
    parser = subparsers.add_parser(
        "diff",
        help=COMMANDS["diff"],
        description=(
            "Show which fields of two specs differ and which steps each difference runs again, the size of both models, "
            "whether a checkpoint of A loads in B, and, where both have run, their scores and validations."
        ),
    )
    parser.add_argument("a", metavar="A", type=Path, help="a spec file")
    parser.add_argument(
        "b",
        metavar="B",
        type=Path,
        nargs="?",
        help="the spec file to compare it with (default: what the last run of A was)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON (docs/reference/json.md)")
    parser.add_argument("--exit-code", action="store_true", help="end with exit code 1 when the plans differ")
    parser.add_argument(
        "--no-estimates", action="store_true", help="do not build the models to compare their size and tensors"
    )
    add_assignments(parser)
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the difference."""
    lines, same_plan = _since_last_run(arguments) if arguments.b is None else _between_two(arguments)
    for line in lines:
        result(line)
    return ExitCode.DIFFERENT if arguments.exit_code and not same_plan else ExitCode.DONE


def _between_two(arguments: argparse.Namespace) -> tuple[Iterable[str], bool]:
    from specforge.cli.diff_report import report  # `--help` compares nothing

    paths: tuple[Path, Path] = (arguments.a, arguments.b)
    a, b = (load_experiment(path, arguments.assignments, arguments.store) for path in paths)
    found = report(a, b, paths, estimates=not arguments.no_estimates)
    if arguments.json:
        from specforge.cli.views.diff_json import as_json

        return [_document(as_json(found))], found.difference.same_plan
    from specforge.cli.views.diff_text import text

    return text(found), found.difference.same_plan


def _since_last_run(arguments: argparse.Namespace) -> tuple[Iterable[str], bool]:
    from specforge.cli.diff_last import as_json, since_last_run, text

    experiment = load_experiment(arguments.a, arguments.assignments, arguments.store)
    found = since_last_run(experiment)
    if arguments.json:
        return [_document(as_json(found, experiment, arguments.a))], found.same_plan
    return text(found, experiment, arguments.a), found.same_plan


def _document(document: JsonValue) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
