"""Which steps of a plan a command line means: up to a kind, and those that are forced."""

from __future__ import annotations

from collections.abc import Sequence

from specforge.foundation.errors import WrongInputError
from specforge.foundation.terminal import printable
from specforge.planning.plan import Plan, Step
from specforge.planning.steps import KINDS


def until(plan: Plan, kind: str | None) -> tuple[Step, ...]:
    """Return the steps up to those of a kind; all of them for None."""
    last = len(KINDS) if kind is None else [str(name) for name in KINDS].index(kind)
    return tuple(step for step in plan.steps if KINDS.index(step.kind) <= last)


def forced(plan: Plan, names: Sequence[str], steps: Sequence[Step]) -> frozenset[str]:
    """Return the ids of the steps that are meant: by their id, or all of a kind; they are to be among `steps`.

    Raises:
        WrongInputError: SF109, a name stands for no step, or for one that is left out.
    """
    chosen: set[str] = set()
    for name in names:
        meant = {step.id for step in plan.steps if name in {step.id, step.kind}}
        if not meant:
            raise WrongInputError(
                "SF109",
                f"there is no step `{printable(name)}` to force",
                help=f"the steps are {', '.join(step.id for step in plan.steps)}",
            )
        if meant.isdisjoint(step.id for step in steps):
            raise WrongInputError("SF109", f"step `{printable(name)}` is forced and comes after those of `--until`")
        chosen |= meant
    return frozenset(chosen)
