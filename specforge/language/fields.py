"""Finding a field of a model by the path of its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from specforge.language.spec import ValuePath


def model_at(model: type[BaseModel], location: ValuePath) -> type[BaseModel] | None:
    """Return the model of a table inside a table; indices and names that a spec chose are passed over.

    Args:
        model: of the outer table.
        location: path of the inner table, from the outer one.
    """
    current: type[BaseModel] | None = model
    for part in location:
        if current is not None and isinstance(part, str) and part in current.model_fields:
            current = _model_in(current.model_fields[part].annotation)
    return current


def field_at(model: type[BaseModel], location: ValuePath) -> FieldInfo | None:
    """Return the field whose value stands at a location, or None where that is no field."""
    parent = model_at(model, location[:-1])
    return None if parent is None else parent.model_fields.get(str(location[-1]))


def _model_in(annotation: Any) -> type[BaseModel] | None:  # annotations have no common type
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part)) is not None), None)
