"""A plan next to the last one that was started under its name: what differs, as far as results depend on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from specforge.planning.material import OwnDifference, differences, material_of_result, material_of_step
from specforge.planning.plan import Step
from specforge.planning.world import Manifest


@dataclass(frozen=True, slots=True)
class ChangeSince:
    """What differs, and the ids of the steps that read it."""

    difference: OwnDifference
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepSince:
    """A step of either plan.

    Args:
        id: its id.
        before: its key in the last plan, or None.
        after: its key now, or None.
    """

    id: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Since:
    """All that differs from the last plan."""

    changes: tuple[ChangeSince, ...]
    steps: tuple[StepSince, ...]

    @property
    def same_plan(self) -> bool:
        """Whether both plans have the same steps under the same keys."""
        return all(step.before == step.after for step in self.steps)


def since(previous: Mapping[str, Manifest], steps: Sequence[Step]) -> Since:
    """Compare a plan with an earlier one.

    Args:
        previous: the steps of the earlier one, as JSON, by id.
        steps: those of the plan.
    """
    changes: list[ChangeSince] = []
    for step in steps:
        if step.id in previous:
            for difference in differences(material_of_result(previous[step.id]), material_of_step(step)):
                _note(changes, difference, step.id)
    keys = {step.id: step.key for step in steps}
    former = {identifier: str(step.get("key")) for identifier, step in previous.items()}
    listed = tuple(StepSince(each, former.get(each), keys.get(each)) for each in {**keys, **former})
    return Since(tuple(changes), listed)


def _note(changes: list[ChangeSince], difference: OwnDifference, step: str) -> None:
    """Add a difference; one that several steps read is one."""
    for number, known in enumerate(changes):
        if known.difference == difference:
            changes[number] = replace(known, steps=(*known.steps, step))
            return
    changes.append(ChangeSince(difference, (step,)))
