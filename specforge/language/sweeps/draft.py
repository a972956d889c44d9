"""A sweep taken apart, before its points are checked: fields, the values that points choose for them, points."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as defaulted
from typing import TYPE_CHECKING, TypeAlias

from specforge.language.messages.diagnostics import Diagnostic, Label

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.layers import Layer
    from specforge.language.spec import ValuePath


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A field as a sweep names it.

    Args:
        path: the field; elements of lists by their number.
        layer: who says so.
        keys: for each part of the path where its key stands in that layer's source.
        key: where the whole path ends there; the list of values, or the value of a case.
    """

    path: ValuePath
    layer: Layer
    keys: tuple[ValuePath, ...]

    @property
    def key(self) -> ValuePath:
        """Where the key of its last part stands."""
        return self.keys[-1]

    def label(self, text: str, *, primary: bool = True) -> Label:
        """Return a label at the key."""
        return self.layer.label(self.key, text, key=True, primary=primary)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """A value that a point gives to a field.

    Args:
        field: the field.
        value: the value.
        typed: where it stands in the source of the field's layer.
    """

    field: Field
    value: JsonValue
    typed: ValuePath

    def label(self, text: str, *, primary: bool = True) -> Label:
        """Return a label at the value."""
        return self.field.layer.label(self.typed, text, primary=primary)


Choices: TypeAlias = tuple[Choice, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PointDraft:
    """A point before its spec is checked.

    Args:
        number: from 1.
        choices: the values of the fields that it sets, in the order in which they are written.
        label: what a case calls itself.
    """

    number: int
    choices: Choices
    label: str | None = None


@dataclass(slots=True)
class SweepDraft:
    """A sweep before its points are checked.

    Args:
        grid, zip: the values of each field in these tables.
        cases: how many cases there are; they are the last points.
        fields: the fields with all values that they take, in the order in which they are written.
        points: all points.
        diagnostics: what is wrong with the sweep as a whole.
    """

    grid: list[Choices] = defaulted(default_factory=list)
    zip: list[Choices] = defaulted(default_factory=list)
    cases: int = 0
    fields: list[tuple[Field, list[JsonValue]]] = defaulted(default_factory=list)
    points: list[PointDraft] = defaulted(default_factory=list)
    diagnostics: list[Diagnostic] = defaulted(default_factory=list)
