"""`specforge plan`: what would run, and why."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from specforge.cli.main import COMMANDS
from specforge.cli.spec_arguments import (
    Experiment,
    add_assignments,
    add_point,
    add_store,
    add_verify,
    is_plan_file,
    load_experiments,
    lock_file,
    show_warnings,
)
from specforge.cli.views.estimates import estimate_lines, estimated
from specforge.cli.views.output import columns, note, result
from specforge.foundation.errors import ExitCode, WrongInputError
from specforge.foundation.terminal import wants_colour
from specforge.planning.plan_json import plan_json

if TYPE_CHECKING:
    from specforge.cli.lock_check import LockState
    from specforge.cli.main import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `plan`."""
    parser = subparsers.add_parser("plan", help=COMMANDS["plan"], description="Show what would run, and why.")
    parser.add_argument("spec", metavar="SPEC", type=Path, help="the spec file, or a plan file (.json)")
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="write the plan to FILE (.json): `specforge run FILE` runs it"
    )
    parser.add_argument("--json", action="store_true", help="print JSON (docs/reference/json.md)")
    parser.add_argument(
        "--no-estimates",
        action="store_true",
        help="leave out what a worker finds out: parameters, batches, memory, time",
    )
    add_point(parser)
    add_verify(parser)
    add_assignments(parser)
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    words = (arguments.spec, arguments.assignments, arguments.store, arguments.point)
    experiment, points = load_experiments(*words, verify=arguments.verify_inputs)
    show_warnings(experiment.spec.warnings)
    lock = _lock(arguments, experiment, points)
    if points:
        from specforge.cli.sweep_plan import plan_sweep  # few specs are sweeps

        code = plan_sweep(arguments, experiment, points, lock)
        _write(arguments, experiment, points)
        return code
    estimates = None if arguments.no_estimates else estimated(experiment.spec, experiment.plan, experiment.store)
    if estimates is not None:
        from specforge.planning.lints import lint_budget

        show_warnings(lint_budget(experiment.spec, estimates))
    _write(arguments, experiment, points)
    if arguments.json:
        document = {
            **plan_json(experiment.plan),
            "estimates": None if estimates is None else estimates.model_dump(mode="json"),
            "lock": None if lock is None else lock.as_json(),
        }
        result(json.dumps(document, indent=2, ensure_ascii=False))
        return ExitCode.DONE
    steps = experiment.plan.steps
    result(f"{experiment.plan.name} · {len(steps)} steps\n")
    for line in columns([(step.id, step.state.value, step.key[:8], step.reason) for step in steps]):
        result(line)
    if estimates is not None:
        result("")
        for line in estimate_lines(estimates, experiment.spec.run.devices):
            result(line)
    if lock is not None:
        for line in lock.lines():
            result(line)
    return ExitCode.DONE


def _lock(arguments: argparse.Namespace, experiment: Experiment, points: Sequence[Experiment]) -> LockState | None:
    """Return how the lock file beside the spec stands, where there is one; it is one for all points."""
    if is_plan_file(arguments.spec) or not lock_file(arguments.spec).exists():
        return None
    from specforge.cli.lock_check import lock_state  # most specs have none

    if arguments.point is not None:
        experiment, points = load_experiments(arguments.spec, arguments.assignments, arguments.store)
    try:
        return lock_state(experiment, points)
    except WrongInputError as error:  # the plan does not depend on it
        from specforge.language.messages.diagnostics import render_error

        note(f"{render_error(error, colour=wants_colour(sys.stderr))}\n")
        return None


def _write(arguments: argparse.Namespace, experiment: Experiment, points: Sequence[Experiment]) -> None:
    if arguments.output is not None:
        from specforge.cli.plan_files import write_plan_file  # only where it is asked for

        write_plan_file(experiment, points, arguments.output)
