"""The difference of two specs by meaning: which fields differ, and which steps each difference re-keys.

What a difference re-keys is found by trying it: the first spec gets this one value of the second, and its steps are keyed
again. Nothing here knows which step reads which field.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import JsonValue

from specforge.language.spec import Origin, Spec, ValuePath
from specforge.planning.comparison.variation import Variant, changes, value_at, vary
from specforge.planning.compile import keyed_steps
from specforge.planning.plan import Step
from specforge.planning.steps import KINDS

Effect: TypeAlias = Literal["rekeys", "continues", "nothing"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One of the two specs.

    Args:
        variant: the spec with its data files.
        steps: its steps with their keys.
    """

    variant: Variant
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """What a field is in one of the specs.

    Args:
        value: as JSON; for a corpus its path, for a component its name.
        origin: where it was set.
    """

    value: JsonValue
    origin: Origin | None


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that differs.

    Args:
        path: where it is.
        before: what it is in the first spec; None where it has no such field.
        after: what it is in the second.
        rekeys: ids of the steps that get another key by this difference alone, appear or disappear.
        effect: `continues` when training only goes on longer, `nothing` when no key moves.
    """

    path: ValuePath
    before: Value | None
    after: Value | None
    rekeys: tuple[str, ...]
    effect: Effect


@dataclass(frozen=True, slots=True)
class StepChange:
    """A step of either spec.

    Args:
        id: its id.
        before: its key in the first spec, or None.
        after: its key in the second, or None.
        fields: the differences that re-key it and none of its needs.
        follows: ids of its needs that are not shared.
    """

    id: str
    before: str | None
    after: str | None
    fields: tuple[ValuePath, ...]
    follows: tuple[str, ...]

    @property
    def shared(self) -> bool:
        """Whether both specs have the step under the same key."""
        return self.before == self.after


@dataclass(frozen=True, slots=True)
class Difference:
    """All differences.

    Args:
        fields: in the order of the tree.
        steps: in the order of running.
    """

    fields: tuple[FieldChange, ...]
    steps: tuple[StepChange, ...]

    @property
    def same_plan(self) -> bool:
        """Whether both specs have the same steps under the same keys."""
        return all(step.shared for step in self.steps)


def compare(before: Compared, after: Compared) -> Difference:
    """Compare two specs."""
    fields = tuple(_field_change(path, before, after) for path in changes(before.variant.spec, after.variant.spec))
    return Difference(fields, tuple(_step_changes(before.steps, after.steps, fields)))


def _step_changes(before: Sequence[Step], after: Sequence[Step], fields: Sequence[FieldChange]) -> Iterator[StepChange]:
    first, second = ({step.id: step.key for step in steps} for steps in (before, after))
    needs = {step.id: step.needs for step in (*before, *after)}
    for identifier in sorted(needs, key=_running_order):
        moving = (field for field in fields if identifier in field.rekeys)
        direct = tuple(field.path for field in moving if set(needs[identifier]).isdisjoint(field.rekeys))
        follows = tuple(need for need in needs[identifier] if first.get(need) != second.get(need))
        yield StepChange(identifier, first.get(identifier), second.get(identifier), direct, follows)


def _running_order(identifier: str) -> tuple[int, str]:
    kind, _, test = identifier.partition(".")
    return [str(name) for name in KINDS].index(kind), test


def _field_change(path: ValuePath, before: Compared, after: Compared) -> FieldChange:
    keys = {step.id: step.key for step in before.steps}
    varied = _varied_steps(path, before, after)
    moved = {step.id for step in varied if keys.get(step.id) != step.key} | keys.keys() - {step.id for step in varied}
    return FieldChange(
        path,
        _value(before.variant.spec, path),
        _value(after.variant.spec, path),
        tuple(sorted(moved, key=_running_order)),
        _effect(moved, before.steps, varied),
    )


def _effect(moved: set[str], before: Sequence[Step], varied: Sequence[Step]) -> Effect:
    if not moved:
        return "nothing"
    goes_on = "train" in moved and _trajectory(before) == _trajectory(varied)
    return "continues" if goes_on else "rekeys"


def _trajectory(steps: Sequence[Step]) -> str | None:
    return next((step.trajectory for step in steps if step.kind == "train"), None)


def _value(spec: Spec, path: ValuePath) -> Value | None:
    """Return a value as people name it: a component by its name, a corpus by its path, a list by those of its items."""
    below = [leaf for leaf in spec.origins if leaf[: len(path)] == path]
    if not below:
        return None
    value = value_at(spec, path)
    heads = [leaf for leaf in below if leaf[-1] in {"use", "path"} and leaf != path]
    origin = spec.origins[(heads or below)[0]][-1]
    if isinstance(value, dict) and heads:
        return Value(value_at(spec, heads[0]), origin)
    if isinstance(value, list) and heads:
        return Value([value_at(spec, head) for head in heads], origin)
    return Value(value, origin)


def _varied_steps(path: ValuePath, before: Compared, after: Compared) -> tuple[Step, ...]:
    """Return the steps of the first spec with one value of the second."""
    if path == ("task",):  # another task reads other columns: nothing of the first spec fits it
        return ()
    varied = vary(path, before.variant, after.variant)
    return keyed_steps(varied.spec, varied.inputs)
