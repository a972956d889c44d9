"""Checking values by a model so that one mistake does not hide another in the same table.

pydantic runs the checks across fields only when every field is right. So what is wrong is left out and the rest is checked
again: errors across the fields that remain come up, too, and the table as far as it is right can be checked further.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from pydantic import JsonValue
    from pydantic_core import ErrorDetails

    from specforge.language.spec import ValuePath

_MOST_ROUNDS: Final = 5  # each finds at least one more error across fields

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[ModelT]):
    """What a check found.

    Args:
        value: the checked values; None when not even the rest is right.
        errors: what is wrong; without any, `value` is what was given.
        left_out: paths of the values that `value` does without.
        unknown_only: whether all of these are keys that the model does not have.
    """

    value: ModelT | None
    errors: Sequence[ErrorDetails] = ()
    left_out: frozenset[ValuePath] = frozenset()
    unknown_only: bool = True

    def intact(self, path: ValuePath) -> bool:
        """Return whether nothing was left out at, above or below a path."""
        return not any(out[: len(path)] == path or path[: len(out)] == out for out in self.left_out)


def validate(
    model: type[ModelT], values: dict[str, JsonValue], faulty: frozenset[ValuePath] = frozenset()
) -> Outcome[ModelT]:
    """Check values in strict JSON mode, and what is right among them again until nothing new comes up.

    Args:
        model: what checks them.
        values: the values.
        faulty: paths of values that have been found wrong before: they are left out, and not asked for either.

    Raises:
        Exception: whatever a check of the model's author raises that is no validation error.
    """
    errors: list[ErrorDetails] = []
    left_out = faulty
    value: ModelT | None = None
    for nth in range(_MOST_ROUNDS):
        try:
            value = model.model_validate_json(json.dumps(_without(values, left_out)))
            break
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
        known = {(one["type"], one["loc"]) for one in errors}
        fresh = [
            one for one in found if (one["type"], one["loc"]) not in known and _counts(one, left_out, first=nth == 0)
        ]
        if not fresh:
            break
        errors += fresh
        left_out |= {path for one in fresh for path in _to_leave_out(values, one)}
    return Outcome(value, errors, left_out, all(one["type"] == "extra_forbidden" for one in errors))


def _to_leave_out(values: JsonValue, error: ErrorDetails) -> list[ValuePath]:
    """Return the paths to leave out for an error: the fields that disagree, or the value that is wrong."""
    fields = [(*error["loc"], name) for name in concerned_fields(error)]
    if fields:
        return fields
    path = _removable(values, error["loc"])
    return [] if path is None else [path]


def concerned_fields(error: ErrorDetails) -> tuple[str, ...]:
    """Return the fields that an error across fields is about: those with labels, or those that it lists."""
    context = error.get("ctx", {})
    labels, fields = context.get("labels"), context.get("fields")
    names = [*(labels if isinstance(labels, Mapping) else ()), *(fields if isinstance(fields, list | tuple) else ())]
    return tuple(str(name) for name in names)


def _counts(error: ErrorDetails, left_out: frozenset[ValuePath], *, first: bool) -> bool:
    """Return whether an error is about what was given, and not about what was left out, before or in an earlier round."""
    fields = concerned_fields(error)
    if fields:
        return not any((*error["loc"], name) in left_out for name in fields)
    return first and error["loc"] not in left_out


def _removable(values: JsonValue, location: Iterable[str | int]) -> ValuePath | None:
    """Return the path of the value to leave out for an error: the last key of a table on the way, or None.

    Parts of a location that the values do not have are names of types. Elements of arrays stay, or their neighbours would
    move: the key that holds the array goes.
    """
    path: ValuePath = ()
    last: ValuePath | None = None
    for part in location:
        if isinstance(values, dict) and part in values:
            path, values = (*path, part), values[str(part)]
            last = path
        elif isinstance(values, list) and isinstance(part, int) and part < len(values):
            path, values = (*path, part), values[part]
    return last


def _without(values: JsonValue, paths: frozenset[ValuePath], here: ValuePath = ()) -> JsonValue:
    if isinstance(values, dict):
        return {key: _without(child, paths, (*here, key)) for key, child in values.items() if (*here, key) not in paths}
    if isinstance(values, list):
        return [_without(child, paths, (*here, index)) for index, child in enumerate(values)]
    return values
