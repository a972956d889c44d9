"""The first argument of commands that use a trained model: a spec, for what it trained, or a model folder."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from specforge.cli.spec_arguments import Experiment, add_assignments, add_point, add_store, load_experiment
from specforge.foundation.errors import EnvironmentFaultError, RefusedError, WrongInputError
from specforge.foundation.terminal import printable

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.spec import Spec


@dataclass(frozen=True, slots=True)
class ModelArgument:
    """What a worker is told of a trained model.

    Args:
        needs: `train` → the result of a train step, or `model` → a model folder.
        settings: `run`; and for a train step `generate`, which names its checkpoint, `task`, and `search` where it searches.
    """

    needs: dict[str, str]
    settings: dict[str, JsonValue] = field(default_factory=dict)


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument, and what may be said of a spec."""
    parser.add_argument("spec", metavar="SPEC", type=Path, help="the spec file, or a model folder, such as RUN/best")
    add_point(parser)
    add_assignments(parser)
    add_store(parser)


def chosen_model(
    arguments: argparse.Namespace, command: str, check: Callable[[Spec], None] | None = None
) -> ModelArgument:
    """Return the model that is meant.

    Args:
        arguments: as parsed.
        command: its name, for errors.
        check: raises where the command can do nothing with a spec, trained or not.

    Raises:
        EnvironmentFaultError: SF606, not on this system.
        WrongInputError: SF128, a sweep without a point; SF672, no model folder; others as `load_experiment`.
        RefusedError: SF624, the spec has not been trained.
    """
    if sys.platform == "win32":
        message = f"`{command}` needs Linux or macOS; validate, show, plan and diff work here"
        raise EnvironmentFaultError("SF606", message)
    if arguments.spec.is_dir():
        return _of_folder(arguments, command)
    return _of_spec(*trained_experiment(arguments.spec, arguments, check))


def trained_experiment(
    path: Path, arguments: argparse.Namespace, check: Callable[[Spec], None] | None = None
) -> tuple[Experiment, Path]:
    """Load a spec, or a plan file, and find the result of its train step.

    Args:
        path: the file.
        arguments: `assignments`, `store` and `point`; `spec` for what to type.
        check: raises where nothing can be done with the spec, trained or not.

    Raises:
        WrongInputError: SF128, a sweep without a point; others as `load_experiment`.
        RefusedError: SF624, the spec has not been trained.
    """
    experiment = load_experiment(path, arguments.assignments, arguments.store, arguments.point)
    if experiment.spec.sweep is not None:
        count = len(experiment.spec.sweep.points)
        raise WrongInputError(
            "SF128", f"the sweep of this spec has {count} point{'s' * (count != 1)}", help="choose one with --point N"
        )
    if check is not None:
        check(experiment.spec)
    trained = _trained(experiment)
    if trained is None:
        raise _not_trained(experiment, arguments)
    return experiment, trained


def _of_spec(experiment: Experiment, trained: Path) -> ModelArgument:
    from specforge.planning.steps import part_settings

    spec = experiment.spec
    search = spec.parts.get(("generate", "search"))
    return ModelArgument(
        {"train": str(trained)},
        {
            **({} if search is None else {"search": part_settings(search)}),
            "generate": spec.generate.model_dump(mode="json", exclude={"search", "metrics"}),
            "task": part_settings(spec.parts["task",]),
            "run": spec.run.model_dump(mode="json"),
        },
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


def _of_folder(arguments: argparse.Namespace, command: str) -> ModelArgument:
    from specforge.language.schema.run import RunSection

    folder = arguments.spec
    if arguments.assignments or arguments.store is not None or arguments.point is not None:
        raise WrongInputError(
            "SF672",
            f"`{printable(str(folder))}` is a folder, and `{command}` takes it as the spec in it says",
            help="leave `--set`, `--store` and `--point` out, or name a spec",
        )
    if not (folder / "model.json").is_file():
        inside = sorted(path.parent.name for path in folder.glob("*/model.json"))
        raise WrongInputError(
            "SF672",
            f"`{printable(str(folder))}` is no model folder: it has no `model.json`",
            help=f"there are model folders in it: {', '.join(inside)}" if inside else "name a spec, or a model folder",
        )
    return ModelArgument({"model": str(folder.resolve())}, {"run": RunSection().model_dump(mode="json")})
