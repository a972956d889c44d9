"""Checking values by a model so that one mistake does not hide another in the same table.

pydantic runs the checks across fields only when every field is right. So what is wrong is left out and the rest is checked
again: errors across the fields that remain come up, too, and the table as far as it is right can be checked further.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from pydantic import JsonValue
    from pydantic_core import ErrorDetails

    from specforge.language.spec import ValuePath

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


def validate(model: type[ModelT], values: dict[str, JsonValue]) -> Outcome[ModelT]:
    """Check values in strict JSON mode, and what is right among them once more where something is wrong.

    Raises:
        Exception: whatever a check of the model's author raises that is no validation error.
    """
    try:
        return Outcome(model.model_validate_json(json.dumps(values)))
    except ValidationError as error:
        errors = _details(error)
    left_out = frozenset(where for error in errors if (where := removable(values, error["loc"])) is not None)
    unknown_only = all(error["type"] == "extra_forbidden" for error in errors)
    try:
        rest = model.model_validate_json(json.dumps(_without(values, left_out)))
    except ValidationError as error:
        known = {(found["type"], found["loc"]) for found in errors}
        fresh = [found for found in _details(error) if (found["type"], found["loc"]) not in known]
        more = [found for found in fresh if unknown_only or _is_about_others(found, left_out)]
        return Outcome(None, [*errors, *more], left_out, unknown_only)
    return Outcome(rest, errors, left_out, unknown_only)


def removable(values: JsonValue, location: Iterable[str | int]) -> ValuePath | None:
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


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False)


def _is_about_others(error: ErrorDetails, left_out: frozenset[ValuePath]) -> bool:
    """Return whether an error of the second check is about fields that were given, and not about those left out."""
    labels = error.get("ctx", {}).get("labels")
    if not isinstance(labels, Mapping) or not labels:
        return False
    return not any((*error["loc"], name) in left_out for name in labels)


def _without(values: JsonValue, paths: frozenset[ValuePath], here: ValuePath = ()) -> JsonValue:
    if isinstance(values, dict):
        return {key: _without(child, paths, (*here, key)) for key, child in values.items() if (*here, key) not in paths}
    if isinstance(values, list):
        return [_without(child, paths, (*here, index)) for index, child in enumerate(values)]
    return values
