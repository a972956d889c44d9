"""The JSON Schema of a whole spec, with the plugins that are installed: for editors, and for other people's validators.

Made from the models that check specs, so that the two cannot drift apart. What JSON Schema cannot express (3.0 is a whole
number to it, values that disagree, files that are missing) is left to `specforge validate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from specforge.language.component_places import COMPONENT_LISTS, COMPONENT_TABLES
from specforge.language.corpora import RESERVED_TESTS
from specforge.language.fields import model_at
from specforge.language.json_schema.component_schemas import (
    WITHOUT_USE,
    ComponentSchemas,
    Described,
    JsonSchema,
    fields_schema,
    one_of_names,
)
from specforge.language.registry import Registry
from specforge.language.schema.data import NAME_PATTERN, Corpus, HoldOut, VocabularySection
from specforge.language.schema.document import WARNINGS, SpecDocument
from specforge.language.schema.section import interval_pattern
from specforge.language.schema.train import DEFAULT_VALID_SEARCH, TEXT_FREE_METRICS
from specforge.plugin import Kind

if TYPE_CHECKING:
    from pydantic import JsonValue

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_MEANINGS: Final[Mapping[Kind, str]] = {
    "task": "what is learned",
    "tokenizer": "how text is cut into pieces; default: the task's",
    "model": "a model, or a named architecture",
    "criterion": "what training minimises; default: the task's",
    "optimizer": "how weights are updated; default: the task's",
    "lr_scheduler": "the learning rate of each update; default: the task's",
    "search": "how text is decoded",
    "metric": "a score",
    "tracker": "where the figures of a training go while it runs",
}

_OBJECT: Final[JsonSchema] = {"type": "object"}

_ONE_CORPUS: Final[JsonSchema] = {
    "type": "object",
    "anyOf": [{"required": [name], "properties": {name: {"not": {"type": "object"}}}} for name in Corpus.model_fields],
}
"""A table that describes one test instead of naming several; `normalise` decides in the same way."""

_NAMED: Final[JsonSchema] = {"if": {"type": "object"}, "then": {"required": ["use"]}}
"""A component that must be named: nothing says which one it would be."""

_SOME: Final[JsonSchema] = {**_OBJECT, "minProperties": 1, "propertyNames": {"pattern": "^[0-9]+$"}}
"""Some elements of a list, by their index."""

_HOLD_OUT: Final[JsonSchema] = {"$ref": f"#/$defs/table.{HoldOut.__name__}"}

_SOMETHING: Final[JsonSchema] = {"anyOf": [{"required": ["valid"]}, {"required": ["test"]}]}
"""A hold_out that holds something out."""

_WHOLE_CORPUS: Final[JsonSchema] = {
    "if": {"type": "object"},
    "then": {
        "required": ["path"],
        "properties": {"hold_out": {"if": {"type": "object"}, "then": _SOMETHING}},
    },
}
"""A corpus that is not merged with one below: it says all that must be said."""

_PATHS: Final[JsonSchema] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}

_LAYERS: Final[JsonSchema] = {
    "extends": {"description": "files that this one builds on, weakest first", **_PATHS},
    "unset": {"description": "dotted paths of what to remove from the files that are extended", **_PATHS},
}
"""Keys that are gone once the layers of a spec are merged."""

_ALONE: Final[JsonSchema] = {"not": {"required": ["extends"]}}
"""A spec whose values all stand in it; else what is required may come from the other file."""


@dataclass(frozen=True, slots=True)
class SpecSchema:
    """The JSON Schema of a spec.

    Args:
        schema: as JSON.
        left_out: what is installed and not in it, one sentence each.
    """

    schema: JsonSchema
    left_out: tuple[str, ...]


def spec_schema(registry: Registry) -> SpecSchema:
    """Return the JSON Schema of specs that name what a registry holds."""
    components = ComponentSchemas(registry)
    properties, required, definitions = fields_schema(SpecDocument, "table")
    tables = {name: model.__name__ for name in properties if (model := model_at(SpecDocument, (name,))) is not None}
    holders: dict[tuple[str, ...], JsonSchema] = {(): properties}
    holders |= {(name,): _fields_of(definitions, model) for name, model in tables.items()}
    lists = {kind: _table(holders[path[:-1]][path[-1]]) for path, kind in COMPONENT_LISTS.items()}
    for path, facts in _refinements(components).items():
        _refine(holders[path[:-1]], path[-1], facts)
    _refine(_fields_of(definitions, "Corpus"), "hold_out", _share_or(_HOLD_OUT))
    for name in (*tables.values(), "Corpus"):
        _table(definitions[f"table.{name}"]).pop("required", None)  # that is for `complete` to say
    for name, section in tables.items():
        table = _table(definitions[f"table.{section}"])
        table["description"] = str(table["description"]).removeprefix(f"`[{name}]`: ")
    schema: JsonSchema = {
        "$schema": DIALECT,
        "title": "specforge spec",
        "description": "An experiment: what is learned, from which data, by which model, and how it is scored.",
        "type": "object",
        "properties": {**properties, **_LAYERS},
        "additionalProperties": False,
        "allOf": [{"if": _ALONE, "then": {"$ref": "#/$defs/complete"}}],
        "$defs": {
            **definitions,
            **components.definitions(),
            **_short_forms(_fields_of(definitions, "Corpus")),
            **{path[-1]: _some_parts(kind, lists[kind]) for path, kind in COMPONENT_LISTS.items()},
            "complete": _complete(required, components),
        },
    }
    return SpecSchema(schema, tuple(components.left_out))


def _refinements(components: ComponentSchemas) -> dict[tuple[str, ...], JsonSchema]:
    """Return what the models leave to code, by path: short forms, patterns, names."""
    swept: JsonSchema = {"additionalProperties": {"$ref": "#/$defs/swept"}}
    judges: JsonSchema = {"anyOf": [{"enum": list(TEXT_FREE_METRICS)}, one_of_names(components.names("metric"))]}
    found: dict[tuple[str, ...], JsonSchema] = {
        ("allow",): {"items": {"enum": list(WARNINGS)}},
        ("data", "train"): {"$ref": "#/$defs/corpora"},
        ("data", "valid"): {"$ref": "#/$defs/corpus"},
        ("data", "test"): {"$ref": "#/$defs/tests"},
        ("data", "prompts"): {"$ref": "#/$defs/corpus"},
        ("preprocess", "vocabulary"): {
            "anyOf": [{"type": "string", "minLength": 1}, {"$ref": f"#/$defs/table.{VocabularySection.__name__}"}]
        },
        ("train", "validate_every"): {"pattern": interval_pattern("update", "epoch"), "examples": ["500 updates"]},
        ("train", "checkpoint_every"): {"pattern": interval_pattern("update", "minute"), "examples": ["500 updates"]},
        ("train", "best_metric"): judges,
        ("sweep", "grid"): swept,
        ("sweep", "zip"): swept,
    }
    for path, kind in COMPONENT_TABLES.items():
        found[path] = {"description": _MEANINGS[kind], "$ref": f"#/$defs/{kind}"}
    return found | {path: {"$ref": f"#/$defs/{path[-1]}"} for path in COMPONENT_LISTS}


def _refine(fields: JsonSchema, name: str, facts: JsonSchema) -> None:
    """Put facts into a field's schema; a reference or alternatives replace what pydantic says of its type."""
    field = _table(fields[name])
    if not facts.keys().isdisjoint({"$ref", "anyOf"}):
        field = {key: value for key, value in field.items() if key in {"description", "default"}}
    said = {key: value for key, value in field.items() if key == "description"}
    fields[name] = {**field, **facts, **said}


def _share_or(table: JsonSchema) -> JsonSchema:
    """Return the schema of a hold_out: a share for validation, or a table."""
    share = _table(fields_schema(HoldOut, "table")[0]["valid"])
    return {"anyOf": [{key: value for key, value in share.items() if key != "description"}, table]}


def _table(value: JsonValue) -> JsonSchema:
    assert isinstance(value, dict)
    return value


def _fields_of(definitions: JsonSchema, model: str) -> JsonSchema:
    """Return the fields of a fixed table by the name of its model."""
    return _table(_table(definitions[f"table.{model}"])["properties"])


def _short_forms(corpus: JsonSchema) -> JsonSchema:
    """Return the definitions of what has short forms: corpora, tests, swept values.

    Args:
        corpus: the fields of a corpus.
    """
    table: JsonSchema = {"$ref": "#/$defs/table.Corpus"}
    path: JsonSchema = {"type": "string", "minLength": 1}
    one: JsonSchema = {"$ref": "#/$defs/corpus"}
    fields: JsonSchema = {name: table for name in Corpus.model_fields}  # noqa: C420  # whose values are wider
    named: JsonSchema = {
        **_OBJECT,
        # A test may be called like a field of a corpus if it is a table itself; `normalise` tells them apart like this.
        "properties": fields,
        "additionalProperties": one,
        "propertyNames": {"pattern": f"^{NAME_PATTERN.pattern}$", "not": {"enum": [*sorted(RESERVED_TESTS)]}},
    }
    # In a list nothing is merged with what lies below, so that each element has to be whole.
    whole: JsonSchema = {
        **_OBJECT,
        "properties": {**corpus, "hold_out": _share_or({"allOf": [_HOLD_OUT, _SOMETHING]})},
        "additionalProperties": False,
        "required": ["path"],
    }
    return {
        "corpus": {"anyOf": [path, table]},
        "corpora": {"anyOf": [path, table, _list_of({"anyOf": [path, whole]}), {**_SOME, "additionalProperties": one}]},
        "tests": {"anyOf": [path, table, named]},
        "swept": {"anyOf": [_list_of({}), {**_OBJECT, "additionalProperties": {"$ref": "#/$defs/swept"}}]},
    }


def _some_parts(kind: Kind, field: JsonSchema) -> JsonSchema:
    """Return what may stand for a list of components: one, a list, or some elements of the list below by their index.

    Args:
        kind: of the components.
        field: the list as the model has it.
    """
    one: JsonSchema = {"$ref": f"#/$defs/{kind}"}
    listed = {**_list_of({"$ref": f"#/$defs/{kind}.named"}), "minItems": field.get("minItems", 0)}
    return {"anyOf": [one, listed, {**_SOME, "additionalProperties": one}]}


def _list_of(items: JsonSchema) -> JsonSchema:
    return {"type": "array", "minItems": 1, "items": items}


def _complete(required: Sequence[str], components: ComponentSchemas) -> JsonSchema:
    """Return what a spec must give that extends no other."""
    whole = _WHOLE_CORPUS
    held_out: JsonSchema = {
        **_OBJECT,
        "required": ["hold_out"],
        "properties": {"hold_out": {"anyOf": [{"type": "number"}, {**_OBJECT, "required": ["valid"]}]}},
    }
    has_valid: list[JsonValue] = [
        {"required": ["valid"]},
        {"required": ["train"], "properties": {"train": held_out}},
        {"required": ["train"], "properties": {"train": {"type": "array", "contains": held_out}}},
    ]
    data: JsonSchema = {
        "required": ["train"],
        "properties": {
            "train": whole,
            "valid": whole,
            "prompts": whole,
            "test": {"if": _ONE_CORPUS, "then": whole, "else": {"additionalProperties": whole}},
        },
        "anyOf": has_valid,
    }
    ends: JsonSchema = {"anyOf": [{"required": ["max_updates"]}, {"required": ["max_epochs"]}]}
    tables: JsonSchema = {}
    for path, kind in COMPONENT_TABLES.items():
        _place(tables, path, {"$ref": f"#/$defs/{kind}.complete"})
    return {
        "required": [*required],
        "properties": {"data": data, "train": ends},
        "allOf": [{"properties": tables}, *(_defaults_of(task, components) for task in components.tasks())],
    }


def _place(tables: JsonSchema, path: tuple[str, ...], schema: JsonSchema) -> None:
    """Add the schema of a table by its path to the properties of the root."""
    for part in path[:-1]:
        tables = _table(_table(tables.setdefault(part, {"properties": {}}))["properties"])
    tables[path[-1]] = schema


def _defaults_of(task: Described, components: ComponentSchemas) -> JsonSchema:
    """Return what holds for tables without `use` when this is the task: they are the components that it takes."""
    named = one_of_names([names for names, _ in task.names])
    is_it: JsonSchema = {"anyOf": [named, {**_OBJECT, "required": ["use"], "properties": {"use": named}}]}
    tables: JsonSchema = {}
    missing: list[JsonValue] = []
    for path, kind in COMPONENT_TABLES.items():
        is_optional = path == ("train", "valid_search")
        default = components.find(kind, DEFAULT_VALID_SEARCH if is_optional else task.defaults.get(kind, ""))
        if default is None:
            _place(tables, path, _NAMED)
            continue
        rules: list[JsonValue] = [{"$ref": f"#/$defs/{default.key}"}, {"required": list(default.required)}]
        _place(tables, path, {"if": WITHOUT_USE, "then": {"allOf": rules}})
        if default.required and not is_optional:
            missing.append(_required(path))
    return {
        "if": {"required": ["task"], "properties": {"task": is_it}},
        "then": {"properties": tables, **({"allOf": missing} if missing else {})},
    }


def _required(path: tuple[str, ...]) -> JsonSchema:
    """Return the schema of a root table in which there is something at a path."""
    inner: JsonSchema = {"properties": {path[0]: _required(path[1:])}} if len(path) > 1 else {}
    return {"required": [path[0]], **inner}
