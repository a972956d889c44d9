"""What every command takes that reads a spec: the file, `--set`, `--store`; and the plan that follows from them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from specforge.cli.output import note

if TYPE_CHECKING:
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


def load_experiment(path: Path, assignments: list[str], store: str | None) -> Experiment:
    """Load a spec and compile it against its store.

    Raises:
        SpecforgeError: the spec or a data file is wrong.
    """
    from specforge.execution.prepare import open_digests, prepare  # `validate` and `show` compile nothing
    from specforge.language.resolve import load_spec
    from specforge.storage.store import Store, locate

    spec = load_spec(path, assignments)
    opened = Store(locate(path, store))
    digests = open_digests(_announce)
    typed = [str(path), *(word for assignment in assignments for word in ("--set", assignment))]
    typed += [] if store is None else ["--store", store]
    return Experiment(tuple(typed), spec, opened, digests, prepare(spec, opened, digests))


def _announce(path: Path) -> None:
    size = path.stat().st_size if path.is_file() else 0
    if size > _WORTH_A_LINE:
        note(f"reading {path} ({size / 1e9:.1f} GB)")
