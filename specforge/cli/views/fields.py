"""The fields of a component's config, as a person wants to read them: made from the class, never written twice."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from specforge.plugin import Marker

_Schema: TypeAlias = Mapping[str, JsonValue]

_TYPES: Final = MappingProxyType({"integer": "integer", "number": "float", "string": "string", "boolean": "boolean"})

_BOUNDS: Final = MappingProxyType(
    {
        "minimum": ">= {}",
        "exclusiveMinimum": "> {}",
        "maximum": "<= {}",
        "exclusiveMaximum": "< {}",
        "multipleOf": "a multiple of {}",
        "minLength": "at least {} character",
        "maxLength": "at most {} character",
        "pattern": "matches {}",
        "minItems": "at least {} item",
        "maxItems": "at most {} item",
    }
)

_COUNTED: Final = ("Length", "Items")
"""How the names of bounds end whose words end in a noun."""


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """One field of a config.

    Args:
        name: what a spec writes.
        type: in TOML's words: `integer`, `"pre" | "post"`, `[float, float]`.
        range: what values are allowed (`>= 0, < 1`), or empty.
        required: whether a spec must give it.
        default: its value where a spec says nothing; None is unset.
        description: what it means.
        identity: False for a field that changes no result.
        continues: True for a field that may grow without starting over.
        neutral: `{"value": …}`, the value at which the field is left out of keys; None where it has none.
    """

    name: str
    type: str
    range: str
    required: bool
    default: JsonValue
    description: str
    identity: bool
    continues: bool
    neutral: Mapping[str, JsonValue] | None = None


def value_text(value: JsonValue) -> str:
    """Return a value as a spec writes it (for numbers, strings, truth values and arrays JSON is TOML)."""
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)


def fields_of(config: type[BaseModel]) -> tuple[FieldFacts, ...]:
    """Return the facts of each field, in the order of the class."""
    root = config.model_json_schema(mode="validation")
    properties, definitions = _table(root.get("properties")), _table(root.get("$defs"))
    required = root.get("required", [])
    facts = []
    for name, field in config.model_fields.items():
        schema = _table(properties[name])
        marker = next((item for item in field.metadata if isinstance(item, Marker)), Marker())
        facts.append(
            FieldFacts(
                name,
                _type(schema, definitions),
                ", ".join(_range(schema, definitions)),
                name in required,
                _default(field, schema),
                field.description or "",
                marker.identity,
                marker.continues,
                {"value": marker.neutral} if marker.has_neutral else None,
            )
        )
    return tuple(facts)


def rules_of(config: type[BaseModel]) -> tuple[str, ...]:
    """Return what a config asks of several fields together: the first lines of the checks that it declares for that."""
    checks = (inspect.getdoc(check.func) for check in config.__pydantic_decorators__.model_validators.values())
    return tuple(text.partition("\n")[0] for text in checks if text)


def _default(field: FieldInfo, schema: _Schema) -> JsonValue:
    """Return the default of a field; the schema leaves out one that is made anew each time."""
    if field.default_factory is None:
        return schema.get("default")
    made: JsonValue = to_jsonable_python(field.get_default(call_default_factory=True, validated_data={}))
    return made


def _table(value: JsonValue) -> _Schema:
    return value if isinstance(value, dict) else {}


def _tables(value: JsonValue) -> list[_Schema]:
    return [_table(item) for item in value] if isinstance(value, list) else []


def _followed(schema: _Schema, definitions: _Schema) -> _Schema:
    """Return what a reference to a definition stands for, and any other schema as it is."""
    reference = schema.get("$ref")
    return _table(definitions.get(reference.removeprefix("#/$defs/"))) if isinstance(reference, str) else schema


def _choices(schema: _Schema) -> list[_Schema]:
    """Return the alternatives of a schema, without the one that stands for leaving the field unset."""
    listed = _tables(schema.get("anyOf")) or _tables(schema.get("oneOf")) or [schema]
    return [choice for choice in listed if choice.get("type") != "null"]


def _type(schema: _Schema, definitions: _Schema) -> str:
    return " or ".join(_once(_single_type(_followed(choice, definitions), definitions) for choice in _choices(schema)))


def _single_type(schema: _Schema, definitions: _Schema) -> str:
    options = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(options, list):
        return " | ".join(value_text(option) for option in options)
    match schema.get("type"):
        case "array":
            places = _tables(schema.get("prefixItems"))
            if places:
                return f"[{', '.join(_type(place, definitions) for place in places)}]"
            return f"array of {_type(_table(schema.get('items')), definitions)}"
        case "object":
            return "table"
        case str(name):
            return _TYPES.get(name, name)
        case _:
            return "any"


def _range(schema: _Schema, definitions: _Schema) -> Iterator[str]:
    """Yield the bounds of a field's value, or of each item where it is an array."""
    for choice in _choices(schema):
        single = _followed(choice, definitions)
        places = _tables(single.get("prefixItems"))
        for bound, words in _BOUNDS.items():
            if bound in single and not (places and bound in {"minItems", "maxItems"}):  # the type shows their number
                several = bound.endswith(_COUNTED) and single[bound] != 1
                yield words.format(single[bound]) + ("s" if several else "")
        items = places or [_table(single.get("items"))]
        each = _once(", ".join(_range(item, definitions)) for item in items if item)
        if each and each != [""]:
            yield f"each {'; '.join(each)}"


def _once(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
