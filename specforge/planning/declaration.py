"""Where the field of a value is declared, and what the declaration says of keys."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from specforge.language.fields import field_at
from specforge.language.schema.document import SpecDocument
from specforge.language.spec import Part, Spec, ValuePath
from specforge.plugin import Marker


@dataclass(frozen=True, slots=True)
class Declaration:
    """The declaration of a value's field.

    Args:
        model: the config of the component whose table the value stands in, else the root of the fixed tables.
        location: of the value in that model; nothing need be declared there (`use` is not).
        component: the component, or None in the fixed tables.
        marker: what the field says of keys, or the table around it.
    """

    model: type[BaseModel]
    location: ValuePath
    component: Part | None
    marker: Marker


def declaration(path: ValuePath, spec: Spec) -> Declaration:
    """Return where the value at a path is declared."""
    table, part = component_at(path, spec)
    model, location = (SpecDocument, path) if part is None else (type(part.config), path[len(table) :])
    return Declaration(model, location, part, _marker(path, model, location))


def component_at(path: ValuePath, spec: Spec) -> tuple[ValuePath, Part | None]:
    """Return the component table that a value stands in, with its path; `()` and None in the fixed tables."""
    prefixes = (path[:length] for length in range(len(path), 0, -1))
    table = next((prefix for prefix in prefixes if prefix in spec.parts), ())
    return table, spec.parts.get(table)


def _marker(path: ValuePath, model: type[BaseModel], location: ValuePath) -> Marker:
    """Return the innermost marker; one that keeps a whole table out of keys beats those inside it."""
    section = field_at(SpecDocument, path[:1])
    found = [Marker(identity=section is None or getattr(section.annotation, "identity", True) is True)]
    for length in range(1, len(location) + 1):
        field = field_at(model, location[:length])
        found += [item for item in ([] if field is None else field.metadata) if isinstance(item, Marker)]
    return next((marker for marker in found if not marker.identity), found[-1])
