"""What every command takes that reads a spec: the file, `--set`, `--store`; and the plan that follows from them."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from specforge.cli.views.output import note
from specforge.foundation.terminal import wants_colour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from specforge.language.messages.diagnostics import Diagnostic
    from specforge.language.spec import Spec
    from specforge.planning.plan import Plan
    from specforge.storage.digests import Digests
    from specforge.storage.store import Store

_WORTH_A_LINE: Final = 100_000_000  # bytes: about a second of reading


def add_assignments(parser: argparse.ArgumentParser) -> None:
    """Add `--set`."""
    parser.add_argument(
        "--set",
        dest="assignments",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="set a field, like train.max_updates=500; takes any TOML value; may be repeated",
    )


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add `--store`."""
    parser.add_argument(
        "--store",
        metavar="FOLDER",
        help="where results are kept (default: SPECFORGE_STORE, else .specforge above the spec)",
    )


def add_point(parser: argparse.ArgumentParser) -> None:
    """Add `--point`."""
    parser.add_argument(
        "--point",
        metavar="N",
        type=int,
        help="take one point of the spec's sweep, counted from 1, as a spec of its own",
    )


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Add `--verify-inputs`."""
    parser.add_argument(
        "--verify-inputs",
        action="store_true",
        help="read every data file once more, instead of knowing by its size and times that it is unchanged",
    )


@dataclass(frozen=True, slots=True)
class Experiment:
    """A spec with everything that follows from it.

    Args:
        typed: the arguments that lead here: what a command line for the same experiment has to repeat.
        spec: the spec.
        store: its store.
        digests: its data files.
        plan: its plan in that store.
    """

    typed: tuple[str, ...]
    spec: Spec
    store: Store
    digests: Digests
    plan: Plan


def load_experiment(
    path: Path, assignments: list[str], store: str | None, point: int | None = None, *, verify: bool = False
) -> Experiment:
    """Load a spec, or a plan file, and compile it against its store.

    Args:
        path: the file as typed.
        assignments: the `--set` arguments.
        store: the `--store` argument, if there is one.
        point: the point of the spec's sweep that is meant, if one is.
        verify: whether to read every data file, known ones too.

    Raises:
        SpecforgeError: the spec or a data file is wrong, or the world has changed since the plan was made.
    """
    if is_plan_file(path):
        return load_experiments(path, assignments, store, point, verify=verify)[0]
    from specforge.language.resolve import load_spec  # `validate` and `show` compile nothing

    opener = _Opener(path, assignments, store, verify=verify)
    return opener.experiment(load_spec(path, assignments, point=point), point)


def load_any_spec(path: Path, assignments: list[str], point: int | None = None) -> Spec:
    """Load a spec, or the one that a plan file holds; nothing is compiled.

    Raises:
        SpecforgeError: it is wrong.
    """
    if is_plan_file(path):
        from specforge.cli.plan_files import load_planned_spec

        return load_planned_spec(path, assignments, point)
    from specforge.language.resolve import load_spec

    return load_spec(path, assignments, point=point)


def load_experiments(
    path: Path, assignments: list[str], store: str | None, point: int | None = None, *, verify: bool = False
) -> tuple[Experiment, tuple[Experiment, ...]]:
    """Load what `load_experiment` does, and the points of its sweep unless one of them is meant.

    Returns:
        The experiment; its points in order, each an experiment, or none where it has no sweep.
    """
    if is_plan_file(path):
        from specforge.cli.plan_files import PlanArguments, load_planned

        return load_planned(PlanArguments(path, assignments, store, point), open_data(verify=verify))
    if point is not None:
        return load_experiment(path, assignments, store, point, verify=verify), ()
    from specforge.language.resolve import load_sweep

    spec, points = load_sweep(path, assignments)
    opener = _Opener(path, assignments, store, verify=verify)
    return opener.experiment(spec), tuple(opener.experiment(one, number) for number, one in enumerate(points, 1))


class _Opener:
    """Makes experiments of one spec file; they share the store and what is known of the data.

    Args:
        path: the file as typed.
        assignments: the `--set` arguments.
        store: the `--store` argument, if there is one.
        verify: whether to read every data file, known ones too.
    """

    def __init__(self, path: Path, assignments: list[str], store: str | None, *, verify: bool) -> None:
        from specforge.storage.store import Store, locate

        self._store = Store(locate(path, store))
        self._digests = open_data(verify=verify)
        self._typed = [str(path), *(word for assignment in assignments for word in ("--set", assignment))]
        self._typed += [] if store is None else ["--store", store]

    def experiment(self, spec: Spec, point: int | None = None) -> Experiment:
        """Compile a spec, or the one at a point."""
        from specforge.execution.prepare import prepare

        typed = self._typed if point is None else [*self._typed, "--point", str(point)]
        return Experiment(tuple(typed), spec, self._store, self._digests, prepare(spec, self._store, self._digests))


def open_data(*, verify: bool = False) -> Digests:
    """Return the digests of data files; people are told what takes a while to read, and why it is read every time."""
    from specforge.execution.prepare import open_digests

    return open_digests(_announce, note, verify=verify)


def is_plan_file(path: Path) -> bool:
    """Return whether an argument names a plan file and not a spec."""
    return path.suffix == ".json"


def lock_file(spec: Path) -> Path:
    """Return where the lock of a spec file lies: `wmt.toml` → `wmt.lock`."""
    return spec.with_name(f"{spec.stem if spec.suffix == '.toml' else spec.name}.lock")


def show_warnings(warnings: Sequence[Diagnostic]) -> None:
    """Print what is legal and odd about a spec, where there is such a thing."""
    if warnings:
        from specforge.language.messages.diagnostics import render  # most specs have none

        note(f"{render(warnings, colour=wants_colour(sys.stderr))}\n")


def _announce(path: Path) -> None:
    size = path.stat().st_size if path.is_file() else 0
    if size > _WORTH_A_LINE:
        note(f"reading {path} ({size / 1e9:.1f} GB)")
