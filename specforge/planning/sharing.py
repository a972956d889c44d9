"""What the points of a sweep share: steps with equal keys are one step, and it runs once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from specforge.planning.plan import Plan, State, Step, StepKind
from specforge.planning.steps import KINDS


@dataclass(frozen=True, slots=True)
class Shared:
    """The steps of one kind in all plans of a sweep.

    Args:
        kind: the kind.
        steps: each once, the first that has its key.
    """

    kind: StepKind
    steps: tuple[Step, ...]

    @property
    def states(self) -> dict[State, int]:
        """How many of them have each state, as far as there are some."""
        counted = Counter(step.state for step in self.steps)
        return {state: counted[state] for state in State if counted[state]}


def shared_steps(plans: Sequence[Plan]) -> tuple[Shared, ...]:
    """Return the steps of all plans by kind, in the order in which kinds run; a kind without steps is left out."""
    first: dict[tuple[StepKind, str], Step] = {}
    for step in (step for plan in plans for step in plan.steps):
        first.setdefault((step.kind, step.key), step)
    by_kind = {kind: tuple(step for step in first.values() if step.kind == kind) for kind in KINDS}
    return tuple(Shared(kind, steps) for kind, steps in by_kind.items() if steps)
