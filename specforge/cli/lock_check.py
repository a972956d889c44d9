"""What `lock`, `plan` and `run --locked` share: the lock file of a spec, and how an experiment differs from it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from specforge.cli.spec_arguments import Experiment, is_plan_file, load_experiments, lock_file
from specforge.foundation.errors import Place, RefusedError, WrongInputError
from specforge.foundation.terminal import printable
from specforge.planning.lock.changes import Change, compare, installed_changes
from specforge.planning.lock.contents import Lock, PointSteps, make_lock
from specforge.planning.lock.text import read_lock


@dataclass(frozen=True, slots=True)
class LockState:
    """An experiment beside its lock file.

    Args:
        path: the lock file.
        locked: what it says; None where there is none.
        now: what it would say.
        changes: how they differ.
    """

    path: Path
    locked: Lock | None
    now: Lock
    changes: tuple[Change, ...]

    @property
    def mattering(self) -> tuple[Change, ...]:
        """The differences that results depend on."""
        return tuple(change for change in self.changes if change.matters)

    def lines(self) -> Iterator[str]:
        """Yield what `plan` says about the lock."""
        yield ""
        if not self.mattering:
            yield "  lock    up to date"
        for nth, change in enumerate(self.mattering):
            yield f"  {'lock    differs:' if nth == 0 else ' ' * 16} {change}"

    def as_json(self) -> dict[str, JsonValue]:
        """Return the state as JSON."""
        return {
            "file": str(self.path),
            "up_to_date": self.locked is not None and not self.mattering,
            "differences": [change_json(change) for change in self.changes],
        }


def lock_state(experiment: Experiment, points: Sequence[Experiment] = ()) -> LockState:
    """Return an experiment beside its lock file.

    Args:
        experiment: the whole of it, not one point.
        points: the points of its sweep.

    Raises:
        WrongInputError: SF114, the lock file is none.
    """
    path = lock_file(experiment.spec.path)
    locked = read_lock(path)
    steps = [PointSteps(point.spec, point.plan.steps, point.spec.name) for point in points]
    now = make_lock(experiment.spec, steps or [PointSteps(experiment.spec, experiment.plan.steps)], portable=True)
    return LockState(path, locked, now, () if locked is None else compare(locked, now, experiment.spec))


def change_json(change: Change) -> dict[str, JsonValue]:
    """Return a difference as JSON."""
    return {
        "cause": change.cause,
        "what": change.what,
        "before": change.before,
        "after": change.after,
        "where": change.where,
        "changes_results": change.matters,
    }


def load_locked(
    path: Path, assignments: list[str], store: str | None, point: int | None = None, *, verify: bool = False
) -> tuple[Experiment, tuple[Experiment, ...]]:
    """Load what `load_experiments` does, and refuse it where its results would be made from something else than is locked.

    Versions and code of plugins are looked at before any of it is imported.

    Raises:
        RefusedError: SF651, something differs; SF652, there is no lock.
        WrongInputError: SF114, the lock file is none; SF115, the argument is a plan file.
    """
    if is_plan_file(path):
        raise WrongInputError("SF115", "`--locked` is for specs: a plan file refuses every difference anyway")
    _check_installed(path)
    experiment, points = load_experiments(path, assignments, store, verify=verify)
    state = lock_state(experiment, points)
    if state.locked is None:
        raise _no_lock(state.path, path)
    if state.mattering:
        raise _differs(state.path, experiment.typed, state.mattering)
    return (experiment, points) if point is None else load_experiments(path, assignments, store, point)


def _check_installed(spec: Path) -> None:
    path = lock_file(spec)
    locked = read_lock(path)
    if locked is None:
        if not spec.exists():
            return  # which is said when it is loaded
        raise _no_lock(path, spec)
    changes = installed_changes(locked)
    if changes:
        raise _differs(path, [str(spec)], changes)


def _no_lock(path: Path, spec: Path) -> RefusedError:
    command = shlex.join(["specforge", "lock", str(spec)])
    return RefusedError(
        "SF652", "there is no lock file", place=Place(str(path)), help=f"`{printable(command)}` writes it"
    )


def _differs(path: Path, typed: Sequence[str], changes: Sequence[Change]) -> RefusedError:
    causes = {change.cause for change in changes}
    part = next((["--update", cause] for cause in ("data", "plugins") if causes == {cause}), [])
    command = printable(shlex.join(["specforge", "lock", *typed, *part]), longest=500)
    return RefusedError(
        "SF651",
        "what would run is not what is locked",
        place=Place(str(path)),
        notes=tuple(map(str, changes)),
        help=f"if this is meant, `{command}` renews the lock",
    )
