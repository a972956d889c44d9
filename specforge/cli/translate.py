"""`specforge translate`: lines from standard input through the run's checkpoint to standard output."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from specforge.cli.main import COMMANDS
from specforge.cli.spec_arguments import Experiment, add_assignments, add_point, add_store, load_experiment
from specforge.cli.views.output import note
from specforge.foundation.errors import (
    EnvironmentFaultError,
    ExitCode,
    InterruptedRunError,
    RefusedError,
    WrongInputError,
)
from specforge.foundation.events import Event, MessageEvent
from specforge.foundation.terminal import printable

if TYPE_CHECKING:
    from specforge.cli.main import Subparsers
    from specforge.execution.job import Job
    from specforge.language.spec import Spec


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `translate`."""
    parser = subparsers.add_parser(
        "translate",
        help=COMMANDS["translate"],
        description=(
            "Translate standard input line by line with what the spec trained, as its [generate] says; or with a model "
            "folder alone, as the spec in it says. "
            "A line ends at LF only; a blank line gives an empty one."
        ),
    )
    parser.add_argument("spec", metavar="SPEC", type=Path, help="the spec file, or a model folder, such as RUN/best")
    add_point(parser)
    add_assignments(parser)
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Translate until the input ends."""
    if sys.platform == "win32":
        raise EnvironmentFaultError(
            "SF606", "`translate` needs Linux or macOS; validate, show, plan and diff work here"
        )
    if arguments.spec.is_dir():
        return _work(_job_of_folder(arguments))
    experiment = load_experiment(arguments.spec, arguments.assignments, arguments.store, arguments.point)
    if experiment.spec.sweep is not None:
        count = len(experiment.spec.sweep.points)
        raise WrongInputError(
            "SF128", f"the sweep of this spec has {count} point{'s' * (count != 1)}", help="choose one with --point N"
        )
    if not experiment.spec.task.searches:
        raise _nothing_to_translate(experiment.spec)
    trained = _trained(experiment)
    if trained is None:
        raise _not_trained(experiment, arguments)
    return _work(_job(experiment, trained))


def _work(job: Job) -> int:
    from specforge.execution.signals import stop_requests
    from specforge.execution.workers import Launch, run_workers

    with stop_requests() as stop:
        try:
            run_workers(Launch((job,), log=None), _show, stop)
        except InterruptedRunError:
            return ExitCode.INTERRUPTED
    return ExitCode.DONE


def _nothing_to_translate(spec: Spec) -> WrongInputError:
    """Return the error of a spec whose model turns no text into text."""
    name = spec.parts["task",].registered.component.name
    if "generate" in spec.task.test_steps:
        instead = "its labels for a test stand in the test's `hypotheses.txt`: give the lines as a test in [data]"
    else:
        instead = "what it finds of a text is the score of a test: give the text as a test in [data]"
    return WrongInputError(
        "SF523",
        f"`translate` is for tasks that turn a text into another one, and `{name}` does not",
        help=f"{instead}, and `specforge run`",
    )


def _trained(experiment: Experiment) -> Path | None:
    """Return the result of the train step, its own or one that is equal, or None."""
    from specforge.planning.keys import outputs_digest
    from specforge.planning.states import find_result

    outputs: dict[str, str | None] = {}
    for step in experiment.plan.steps:
        found = find_result(step, outputs, experiment.store)
        if step.kind == "train":
            return None if found is None else experiment.store.result("train", found.key)
        outputs[step.id] = None if found is None else outputs_digest(found.manifest)
    return None


def _not_trained(experiment: Experiment, arguments: argparse.Namespace) -> RefusedError:
    step = experiment.plan.step("train")
    words = ["specforge", "run", str(arguments.spec), "--until", "train"]
    words += [word for assignment in arguments.assignments for word in ("--set", assignment)]
    words += [] if arguments.store is None else ["--store", arguments.store]
    words += [] if arguments.point is None else ["--point", str(arguments.point)]
    return RefusedError(
        "SF624",
        "this spec has not been trained",
        notes=(f"its step `train` has key {step.key[:8]} and state `{step.state.value}`: {step.reason}",),
        help=f"run `{shlex.join(words)}`",
    )


def _job(experiment: Experiment, trained: Path) -> Job:
    from specforge.execution.job import Job
    from specforge.execution.workers import available_threads
    from specforge.planning.steps import part_settings

    spec = experiment.spec
    section = spec.generate.model_dump(mode="json", exclude={"search", "metrics"})
    return Job(
        id="translate",
        kind="translate",
        settings={
            "search": part_settings(spec.parts["generate", "search"]),
            "generate": section,
            "run": spec.run.model_dump(mode="json"),
        },
        needs={"train": str(trained)},
        threads=available_threads(1),
    )


def _job_of_folder(arguments: argparse.Namespace) -> Job:
    from specforge.execution.job import Job
    from specforge.execution.workers import available_threads
    from specforge.language.schema import RunSection

    folder = arguments.spec
    if arguments.assignments or arguments.store is not None or arguments.point is not None:
        raise WrongInputError(
            "SF672",
            f"`{printable(str(folder))}` is a folder, which is translated with as the spec in it says",
            help="leave `--set`, `--store` and `--point` out, or name a spec",
        )
    if not (folder / "model.json").is_file():
        inside = sorted(path.parent.name for path in folder.glob("*/model.json"))
        raise WrongInputError(
            "SF672",
            f"`{printable(str(folder))}` is no model folder: it has no `model.json`",
            help=f"there are model folders in it: {', '.join(inside)}" if inside else "name a spec, or a model folder",
        )
    return Job(
        id="translate",
        kind="translate",
        settings={"run": RunSection().model_dump(mode="json")},
        needs={"model": str(folder.resolve())},
        threads=available_threads(1),
    )


def _show(event: Event) -> None:
    if isinstance(event, MessageEvent):
        note(printable(event.text, longest=1_000))
