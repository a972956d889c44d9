"""`specforge plan`: what would run, and why."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from specforge.cli.main import COMMANDS
from specforge.cli.output import columns, result
from specforge.cli.spec_arguments import add_assignments, add_store, load_experiment
from specforge.foundation.errors import ExitCode
from specforge.planning.plan import Plan
from specforge.planning.plan_json import plan_json
from specforge.storage.store import Store

if TYPE_CHECKING:
    from specforge.cli.main import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `plan`."""
    parser = subparsers.add_parser("plan", help=COMMANDS["plan"], description="Show what would run, and why.")
    parser.add_argument("spec", metavar="SPEC", type=Path, help="the spec file")
    parser.add_argument("--json", action="store_true", help="print JSON (docs/reference/json.md)")
    parser.add_argument("--no-estimates", action="store_true", help="do not count the model's parameters")
    add_assignments(parser)
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    experiment = load_experiment(arguments.spec, arguments.assignments, arguments.store)
    estimates = None if arguments.no_estimates else _estimates(experiment.plan, experiment.store)
    if arguments.json:
        document = {**plan_json(experiment.plan), "estimates": None if estimates is None else dict(estimates)}
        result(json.dumps(document, indent=2, ensure_ascii=False))
        return ExitCode.DONE
    steps = experiment.plan.steps
    result(f"{experiment.plan.name} · {len(steps)} steps\n")
    for line in columns([(step.id, step.state.value, step.key[:8], step.reason) for step in steps]):
        result(line)
    if estimates is not None:
        result(f"\n  model   {_parameters(estimates)}")
    elif not arguments.no_estimates:
        result("\n  model   its parameters are counted once preprocess has run: they depend on the vocabulary")
    return ExitCode.DONE


def _estimates(plan: Plan, store: Store) -> Mapping[str, JsonValue] | None:
    from specforge.execution.estimate import estimate  # starts processes, which not every platform does our way
    from specforge.execution.signals import stop_requests

    with stop_requests() as stop:
        return estimate(plan, store, stop)


def _parameters(estimates: Mapping[str, JsonValue]) -> str:
    by_part = estimates["by_part"]
    assert isinstance(by_part, dict)
    parts = ", ".join(f"{name} {count:,}" for name, count in by_part.items())
    return f"{estimates['parameters']:,} parameters" + (f": {parts}" if parts else "")
