"""Plan files on the command line: `plan -o plan.json` writes one, every command that takes a spec takes one instead."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from specforge.cli.spec_arguments import Experiment, is_plan_file
from specforge.cli.views.output import note
from specforge.execution.prepare import prepare
from specforge.foundation import durable
from specforge.foundation.errors import Place, RefusedError, SpecforgeError, WrongInputError
from specforge.foundation.terminal import printable
from specforge.language.merge import leaves
from specforge.language.messages.diagnostics import SpecError
from specforge.language.resolve import load_spec
from specforge.language.spec import Spec
from specforge.planning.lock.changes import compare, installed_changes
from specforge.planning.lock.contents import resolved_values
from specforge.planning.plan_file import (
    PlanFile,
    changed_files,
    lock_with_paths,
    plan_document,
    planned_specs,
    read_plan_file,
)
from specforge.storage.digests import Digests
from specforge.storage.store import VARIABLE, Store, locate

_MOST_NAMED: Final = 3


def write_plan_file(experiment: Experiment, points: Sequence[Experiment], path: Path) -> None:
    """Write the plan of an experiment, and of the points of its sweep, in place of an older one.

    Raises:
        WrongInputError: SF115, the name would not be recognised as a plan's, or is in no folder that there is.
    """
    if not path.parent.is_dir():
        raise WrongInputError("SF115", "there is no such folder to write the plan to", place=Place(str(path.parent)))
    if not is_plan_file(path):
        raise WrongInputError(
            "SF115",
            "the name of a plan file ends in .json",
            place=Place(str(path)),
            help=f"write `-o {printable(str(path.with_suffix('.json')))}`; that is how `run` tells it from a spec",
        )
    pairs = [(point.spec, point.plan) for point in points]
    document = plan_document(experiment.spec, experiment.plan, experiment.store.root, pairs)
    durable.replace_file(path, durable.json_text(document))
    note(f"plan written to {printable(str(path), longest=500)}")


@dataclass(frozen=True, slots=True)
class PlanArguments:
    """What a command line says about a plan file.

    Args:
        path: the plan file.
        assignments: the `--set` arguments; a plan takes none.
        store: the `--store` argument, if there is one.
        point: the `--point` argument, if there is one.
    """

    path: Path
    assignments: Sequence[str]
    store: str | None
    point: int | None

    @property
    def typed(self) -> tuple[str, ...]:
        """What to type for the same again, `--point` excluded."""
        return (str(self.path), *(() if self.store is None else ("--store", self.store)))


def load_planned(arguments: PlanArguments, digests: Digests) -> tuple[Experiment, tuple[Experiment, ...]]:
    """Load a plan file and make sure that it still is what would run.

    Args:
        arguments: what was typed.
        digests: the data files.

    Returns:
        The experiment and the points of its sweep, or one point alone where one is asked for.

    Raises:
        WrongInputError: SF113, it is no plan file; SF115, there are assignments; SF128, it has no such point.
        RefusedError: SF653, the world has changed since.
    """
    path, point = arguments.path, arguments.point
    file = _read(arguments)
    _refuse(path, file, list(map(str, installed_changes(file.lock))))
    _refuse(path, file, list(map(str, changed_files(file.lock, digests))))
    spec, specs = _specs(file, path)
    store = _store(file, arguments)

    def experiment(spec: Spec) -> Experiment:
        typed = arguments.typed if spec.point is None else (*arguments.typed, "--point", str(spec.point.number))
        return Experiment(typed, spec, store, digests, prepare(spec, store, digests))

    whole, points = experiment(spec), tuple(map(experiment, specs))
    now = lock_with_paths(spec, whole.plan, [(one.spec, one.plan) for one in points])
    _refuse(path, file, [str(change) for change in compare(file.lock, now, spec) if change.matters])
    _note_changed_spec(file, spec)
    return (whole, points) if point is None else (points[point - 1], ())


def load_planned_spec(path: Path, assignments: Sequence[str], point: int | None) -> Spec:
    """Load the spec that a plan file holds, or a point of it; whether the data are what they were is not looked at.

    Raises:
        WrongInputError: as `load_planned`; SF128 also where one point has to be chosen.
        RefusedError: SF653, its values are no spec any more.
    """
    file = _read(PlanArguments(path, assignments, None, point))
    spec, specs = _specs(file, path)
    if point is not None:
        return specs[point - 1]
    if specs:
        help_text = f"choose one with --point N, from 1 to {len(specs)}"
        raise WrongInputError(
            "SF128", "this is the plan of a sweep, which holds every point for itself", help=help_text
        )
    return spec


def _read(arguments: PlanArguments) -> PlanFile:
    if arguments.assignments:
        help_text = "set it when the plan is made: `specforge plan SPEC --set … -o FILE`"
        raise WrongInputError("SF115", "a plan file runs as it is and takes no `--set`", help=help_text)
    file = read_plan_file(arguments.path)
    point = arguments.point
    if point is not None and not 1 <= point <= len(file.points):
        raise WrongInputError("SF128", f"there is no point {point}", help=f"the plan has {len(file.points)}")
    return file


def _specs(file: PlanFile, path: Path) -> tuple[Spec, tuple[Spec, ...]]:
    try:
        return planned_specs(file, path)
    except SpecError as error:  # its places would be places in a text that nobody wrote
        _refuse(path, file, [diagnostic.message for diagnostic in error.diagnostics])
        raise


def _store(file: PlanFile, arguments: PlanArguments) -> Store:
    """Return the store to run in: the one that the user names, else the one that was planned for."""
    is_named = arguments.store or os.environ.get(VARIABLE)
    return Store(locate(Path(file.spec), arguments.store) if is_named else Path(file.store))


def _refuse(path: Path, file: PlanFile, changes: Sequence[str]) -> None:
    if changes:
        raise RefusedError(
            "SF653",
            "the world has changed since this plan was made",
            place=Place(str(path)),
            notes=tuple(changes),
            help=_anew(path, file),
        )


def _anew(path: Path, file: PlanFile) -> str:
    """Return what to type for a plan of the world as it is; the record of a run is not to be written over by hand."""
    is_record = path.resolve().is_relative_to(Path(file.store).resolve() / "runs")
    words = [file.spec, *(word for assignment in file.assignments for word in ("--set", assignment))]
    words = ["specforge", "run", *words] if is_record else ["specforge", "plan", *words, "-o", str(path)]
    command = printable(shlex.join(words), longest=500)
    return f"`{command}` {'runs what the spec says now' if is_record else 'plans anew'}"


def _note_changed_spec(file: PlanFile, planned: Spec) -> None:
    """Say that the spec file is not what the plan was made from any more; that changes nothing."""
    name = printable(file.spec, longest=500)
    if not planned.path.is_file():
        note(f"note: {name} is gone; the plan runs as it was made")
        return
    try:
        spec = load_spec(planned.path, file.assignments, point=file.point)
    except SpecforgeError:
        if not file.assignments:  # these may name data from another working directory
            note(f"note: {name} is not valid now; the plan runs as it was made")
        return
    before, after = (dict(leaves(resolved)) for resolved in (file.lock.resolved, resolved_values(spec, portable=False)))
    changed = [".".join(map(str, field)) for field in {**before, **after} if before.get(field) != after.get(field)]
    if changed:
        more = f" and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
        fields = printable(", ".join(changed[:_MOST_NAMED]))
        note(f"note: {name} says otherwise now ({fields}{more}); the plan runs as it was made")
