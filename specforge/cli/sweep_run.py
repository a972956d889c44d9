"""`specforge run` on a spec with a sweep: every point, then one table of what came out."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence

from specforge.cli.spec_arguments import Experiment
from specforge.cli.step_choice import forced, until
from specforge.cli.views.output import note, result
from specforge.cli.views.sweep_scores import SweepScores
from specforge.cli.views.sweep_values import in_words, numbers, plural
from specforge.execution.progress import display
from specforge.execution.runner import Options
from specforge.execution.signals import stop_requests
from specforge.execution.sweeps.sweep_folder import PointOutcome, SweepFolder
from specforge.execution.sweeps.sweep_runner import Choice, SweepRunner
from specforge.foundation.errors import ExitCode
from specforge.foundation.terminal import printable
from specforge.language.messages.diagnostics import render_error
from specforge.language.spec import Point
from specforge.planning.plan import Plan


def run_sweep(arguments: argparse.Namespace, experiment: Experiment, points: Sequence[Experiment]) -> int:
    """Run all points and print their scores; return the exit code of the first that failed.

    Args:
        arguments: of the command.
        experiment: the spec beside its sweep.
        points: its points.

    Raises:
        SpecforgeError: what ends the sweep as a whole: a request to stop, a name that is taken.
    """
    folder = SweepFolder(experiment.store, experiment.spec.name, experiment.spec.path.resolve())

    def choose(plan: Plan) -> Choice:
        steps = until(plan, arguments.until)
        return Choice(steps, forced(plan, arguments.force, steps))

    for point in points:
        choose(point.plan)  # a step that no point has is told before anything runs
    with stop_requests() as stop, display() as shown:

        def announce(point: Point, is_there: bool) -> None:  # noqa: FBT001  # told by the runner
            ending = "   reuse" if is_there else ""
            shown.line(f"point {point.number} of {len(points)}   {in_words(point)}{ending}")

        def report(outcome: PointOutcome) -> None:
            error = outcome.error
            assert error is not None
            if outcome.failed_with is None:
                shown.line(render_error(error))
            else:
                shown.line(f"  failed with point {outcome.failed_with}: {error.code}, {error.message}")

        options = Options(wait=arguments.wait)
        runner = SweepRunner(
            experiment.store,
            experiment.digests,
            shown,
            stop,
            options,
            choose=choose,
            announce=announce,
            report=report,
        )
        outcomes = runner.run([point.spec for point in points], folder)
    return _report(experiment, outcomes, folder)


def _report(experiment: Experiment, outcomes: Sequence[PointOutcome], folder: SweepFolder) -> int:
    sweep = experiment.spec.sweep
    assert sweep is not None
    scores = SweepScores(sweep, outcomes)
    result("")
    for line in scores.lines():
        result(line)
    result(f"\nsweep   {printable(str(folder.path), longest=1_000)}")
    best = scores.best()
    if best is not None and experiment.spec.task.searches:
        words = shlex.join([*experiment.typed, "--point", str(best.point.number)])
        verb = "continue" if experiment.spec.task.continues else "translate"
        command = f"specforge translate {printable(words, longest=1_000)}"
        result(f"\n{verb} lines from standard input with the best:\n  {command}")
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if not failed:
        return ExitCode.DONE
    which = numbers([outcome.point.number for outcome in failed])
    note(f"{len(failed)} of {plural(len(outcomes), 'point')} failed: {which}")
    assert failed[0].error is not None
    return failed[0].error.exit_code
