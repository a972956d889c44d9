"""`specforge run`: runs what is not there yet, and says what came out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from specforge.cli.main import COMMANDS
from specforge.cli.spec_arguments import (
    Experiment,
    add_assignments,
    add_point,
    add_store,
    add_verify,
    load_experiments,
    show_warnings,
)
from specforge.cli.step_choice import forced, until
from specforge.cli.views.output import columns, note, result
from specforge.execution.worlds.given import given_world
from specforge.foundation.errors import EnvironmentFaultError, ExitCode
from specforge.foundation.terminal import printable
from specforge.planning.steps import KINDS

if TYPE_CHECKING:
    from specforge.cli.main import Subparsers
    from specforge.execution.run_folder import RunFolder


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `run`."""
    parser = subparsers.add_parser("run", help=COMMANDS["run"], description="Run what is not there yet.")
    parser.add_argument("spec", metavar="SPEC", type=Path, help="the spec file, or a plan file (.json)")
    parser.add_argument("--until", choices=KINDS, metavar="KIND", help=f"stop after the steps of this kind: {_kinds()}")
    parser.add_argument(
        "--force",
        action="append",
        default=[],
        metavar="STEP",
        help="run a step although its result is there; training starts over (may be repeated)",
    )
    parser.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="wait for a step that another run is making, or end with exit code 3 (default: wait)",
    )
    parser.add_argument(
        "--locked", action="store_true", help="refuse any difference from the lock file that changes a result"
    )
    add_point(parser)
    add_verify(parser)
    add_assignments(parser)
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the plan and print its scores."""
    if sys.platform == "win32":
        raise EnvironmentFaultError("SF606", "`run` needs Linux or macOS; validate, show, plan and diff work here too")
    world = given_world(os.environ)
    if world is not None and world.rank > 0:
        from specforge.execution.worlds.taking_part import take_part  # few runs are given a world

        return take_part(world)
    experiment, points = _loaded(arguments)
    show_warnings(experiment.spec.warnings)
    if points and world is not None:
        raise EnvironmentFaultError(
            "SF666", f"{world.launcher} runs one experiment at a time", help="choose a point of the sweep with --point"
        )
    if points:
        from specforge.cli.sweep_run import run_sweep  # few specs are sweeps

        return run_sweep(arguments, experiment, points)
    steps = until(experiment.plan, arguments.until)
    force = forced(experiment.plan, arguments.force, steps)
    from specforge.execution.progress import display
    from specforge.execution.runner import Options, Runner
    from specforge.execution.signals import stop_requests
    from specforge.execution.worlds.taking_part import leading

    if not steps:
        note(f"nothing to do: the plan has no step up to `{arguments.until}`")
    with stop_requests() as stop, display() as shown, leading(world, experiment.spec.run.devices, shown) as leader:
        options = Options(force, arguments.wait, leader=leader)
        runner = Runner(experiment.spec, experiment.plan, experiment.store, experiment.digests, shown, stop, options)
        made = [step for step, how in runner.run(steps).items() if how == "run"]
    _report(experiment, runner.folder, made)
    return ExitCode.DONE


def _loaded(arguments: argparse.Namespace) -> tuple[Experiment, tuple[Experiment, ...]]:
    """Load what is to be run: an experiment, or one with the points of its sweep."""
    words = (arguments.spec, arguments.assignments, arguments.store, arguments.point)
    if not arguments.locked:
        return load_experiments(*words, verify=arguments.verify_inputs)
    from specforge.cli.lock_check import load_locked  # only where it is asked for

    return load_locked(*words, verify=arguments.verify_inputs)


def _kinds() -> str:
    return ", ".join(KINDS)


def _report(experiment: Experiment, folder: RunFolder, made: Sequence[str]) -> None:
    scores = folder.write_scores(experiment.plan)
    rows = [_row(test, score) for test, found in scores.items() for score in found]
    if not any(row[3] for row in rows):  # no interval was asked for
        rows = [(*row[:3], row[4]) for row in rows]
    if rows:
        result("")
        for line in columns(rows, indent=""):
            result(line)
    if not made:
        return
    from specforge.cli.views.run_summary import summary

    for line in summary(experiment, folder):
        result(line)


def _row(test: str, score: Mapping[str, JsonValue]) -> tuple[str, ...]:
    value = score["value"]
    shown = f"{value:.2f}" if isinstance(value, float | int) else str(value)
    return test, str(score["name"]), shown, _interval(score.get("interval")), printable(str(score["signature"]))


def _interval(interval: JsonValue) -> str:
    """Return a confidence interval as people write it: `95 %: 36.13 ± 1.59`."""
    found = interval if isinstance(interval, dict) else {}
    mean, margin, confidence = (found.get(name) for name in ("mean", "margin", "confidence"))
    if not (isinstance(mean, float) and isinstance(margin, float) and isinstance(confidence, float)):
        return ""
    return f"{100 * confidence:.0f} %: {mean:.2f} ± {margin:.2f}"
