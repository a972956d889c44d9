"""JSON Schema of the component tables: which names `use` may have, and the fields of the component that it names.

A table is described twice, because validators and editors read different keywords (docs/decisions/editor.md): `if`/`then`
for each component checks exactly and complains about the right key, and a list of open alternatives tells a language
server which fields to offer and what they mean.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from specforge.foundation.errors import SpecforgeError
from specforge.language.component_places import COMPONENT_LISTS
from specforge.language.plugins import BUILT_IN
from specforge.language.registry import RegisteredPreset, Registry, config_class
from specforge.language.spec import Registered
from specforge.plugin import KINDS, Kind, TaskConfig

if TYPE_CHECKING:
    from pydantic import BaseModel, JsonValue

    from specforge.plugin import ComponentConfig

JsonSchema: TypeAlias = "dict[str, JsonValue]"

WITHOUT_USE: Final[JsonSchema] = {"type": "object", "not": {"required": ["use"]}}
"""A table that leaves it to the task, or to a file that it extends, which component it is."""

_MAPS: Final = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
"""Keywords whose value is a table of schemas by name."""

_VALUES: Final = frozenset({"default", "const", "enum", "examples"})
"""Keywords whose value is a value of a spec, or several."""


@dataclass(frozen=True, slots=True)
class Names:
    """What `use` may say for one component or preset.

    Args:
        bare: the short name; None where another distribution has the better right to it.
        qualified: with the distribution: `specforge/transformer`.
    """

    bare: str | None
    qualified: str


@dataclass(frozen=True, slots=True)
class Described:
    """A component with its fields as JSON Schema.

    Args:
        registered: the component.
        names: those that mean the component and those of its presets, each with the fields that are still required.
        properties: field → schema; None where the config has no JSON Schema.
        required: fields without a default.
        definitions: schemas that `properties` refer to, by their name in the whole schema.
        defaults: of a task: the component that it takes for a kind.
    """

    registered: Registered
    names: Sequence[tuple[Names, tuple[str, ...]]]
    properties: Mapping[str, JsonValue] | None
    required: tuple[str, ...]
    definitions: Mapping[str, JsonValue]
    defaults: Mapping[Kind, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Its name among the definitions: `model.specforge.transformer`."""
        return f"{self.registered.component.kind}.{self.registered.distribution}.{self.registered.component.name}"


def fields_schema(model: type[BaseModel], prefix: str) -> tuple[JsonSchema, tuple[str, ...], JsonSchema]:
    """Return the properties of a model, the names of those that are required, and the definitions that they refer to.

    TOML has no null, so alternatives and defaults that are null are gone; so are the titles that pydantic makes of names.

    Args:
        model: a config or a section.
        prefix: goes before the name of each definition, to tell it from those of other models.

    Raises:
        PydanticInvalidForJsonSchema: a field has a type that JSON Schema cannot express.
    """
    root = model.model_json_schema(mode="validation")
    cleaned = _cleaned(root, prefix)
    assert isinstance(cleaned, dict)
    properties, required, definitions = (cleaned.get(name) for name in ("properties", "required", "$defs"))
    return (
        properties if isinstance(properties, dict) else {},
        tuple(str(name) for name in required) if isinstance(required, list) else (),
        {f"{prefix}.{name}": schema for name, schema in definitions.items()} if isinstance(definitions, dict) else {},
    )


def _cleaned(schema: JsonValue, prefix: str) -> JsonValue:
    """Return a schema of pydantic's in our form."""
    if isinstance(schema, list):
        return [_cleaned(item, prefix) for item in schema if item != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    result: JsonSchema = {}
    for keyword, value in schema.items():
        if keyword in _MAPS and isinstance(value, dict):
            result[keyword] = {name: _cleaned(inner, prefix) for name, inner in value.items()}
        elif keyword == "$ref" and isinstance(value, str):
            result[keyword] = value.replace("#/$defs/", f"#/$defs/{prefix}.")
        elif keyword in _VALUES and not (value is None or isinstance(value, dict)):  # a table may hold null
            result[keyword] = value
        elif keyword not in {*_VALUES, "title", "discriminator"}:
            result[keyword] = _cleaned(value, prefix)
    return _simplified(result)


def _simplified(schema: JsonSchema) -> JsonSchema:
    """Return a schema with its only alternative in place, and with a bound that every reader's numbers can hold."""
    largest = schema.get("exclusiveMaximum")
    if isinstance(largest, int) and schema.get("type") == "integer":  # 2 ** 63 is one too many for most
        del schema["exclusiveMaximum"]
        schema["maximum"] = largest - 1
    options = schema.get("anyOf")
    if isinstance(options, list) and len(options) == 1 and isinstance(options[0], dict):
        del schema["anyOf"]
        return {**options[0], **schema}
    return schema


class ComponentSchemas:
    """The component tables of all kinds.

    Args:
        registry: what is installed; what cannot be loaded is left out, and `left_out` says so.
    """

    def __init__(self, registry: Registry) -> None:
        self.left_out = [
            f"plugin `{record.entry_point}` of {record.distribution} {record.version}: {record.cause}"
            for record in registry.plugins()
            if record.state == "broken"
        ]
        self._described = {kind: list(self._of_kind(registry, kind)) for kind in KINDS}

    def names(self, kind: Kind) -> list[Names]:
        """Return all names of a kind, components' and presets'."""
        return [names for described in self._described[kind] for names, _ in described.names]

    def tasks(self) -> list[Described]:
        """Return the tasks: what they take by default decides about tables without `use`."""
        return self._described["task"]

    def find(self, kind: Kind, name: str) -> Described | None:
        """Return the component that a task takes by a name; None where it is left out."""
        for described in self._described[kind]:
            if any(name in {names.bare, names.qualified} for names, _ in described.names):
                return described
        return None

    def definitions(self) -> JsonSchema:
        """Return a definition for each component, and two for each kind: of its tables, and of what must not be missing.

        `KIND` is a name or a table; `KIND.complete` says what a spec must give that extends nothing; `KIND.named` is an
        element of a list, which must say what it is.
        """
        found: JsonSchema = {f"{kind}.named": self._part(kind, named=True) for kind in COMPONENT_LISTS.values()}
        for kind in KINDS:
            found[kind] = self._part(kind)
            found[f"{kind}.complete"] = self._complete(kind)
            for described in self._described[kind]:
                found |= {described.key: _closed(described), **described.definitions}
        return found

    def _of_kind(self, registry: Registry, kind: Kind) -> Iterator[Described]:
        components, presets = registry.components(kind), registry.presets(kind)
        names_of = _namer([*components, *presets])
        orphans = {one.qualified: one.component for one in presets}
        for registered in components:
            own = [one for one in presets if one.component == registered.qualified]
            for one in own:
                del orphans[one.qualified]
            try:
                config = config_class(registered)
            except SpecforgeError as error:
                self.left_out.append(f"{error.message}: {'; '.join(error.notes)}")
                continue
            properties, required, definitions = self._fields(registered, config)
            named = [(names_of(registered), required)]
            named += [(names_of(one), tuple(name for name in required if name not in one.preset.values)) for one in own]
            defaults = config.defaults if issubclass(config, TaskConfig) else {}
            yield Described(registered, named, properties, required, definitions, defaults)
        for preset, component in orphans.items():
            self.left_out.append(f"the preset `{preset}`: its {kind} `{component}` is not installed")

    def _fields(
        self, registered: Registered, config: type[ComponentConfig]
    ) -> tuple[JsonSchema | None, tuple[str, ...], JsonSchema]:
        component = registered.component
        try:
            return fields_schema(config, f"{component.kind}.{registered.distribution}.{component.name}")
        except Exception as error:  # a stranger's field may have any type, and own code for its schema
            if registered.distribution == BUILT_IN:
                raise
            cause = f"{type(error).__name__}: {error}".split("\n")[0]
            self.left_out.append(f"the fields of the {component.kind} `{registered.qualified}`: {cause}")
            return None, (), {}

    def _part(self, kind: Kind, *, named: bool = False) -> JsonSchema:
        """Return what may stand for a component: its name, or a table.

        Args:
            kind: kind of the component.
            named: whether the table must name it.
        """
        described = self._described[kind]
        names = one_of_names(self.names(kind))
        rules: list[JsonValue] = [{"if": _uses(one), "then": {"$ref": f"#/$defs/{one.key}"}} for one in described]
        without: JsonSchema = {"anyOf": [{"$ref": f"#/$defs/{one.key}"} for one in described]}
        table: JsonSchema = {
            "type": "object",
            "unevaluatedProperties": True,  # to a validator nothing; without it Tombi warns of every key
            "allOf": [*rules, {"if": WITHOUT_USE, "then": without}],
            "anyOf": [_open(one) for one in described],
            **({"required": ["use"]} if named else {}),
        }
        return {"anyOf": [names, table]}

    def _complete(self, kind: Kind) -> JsonSchema:
        """Return what must be given beside a name: the fields without a default that no preset fills in."""
        rules: list[JsonValue] = []
        for described in self._described[kind]:
            lacking: dict[tuple[str, ...], list[Names]] = {}
            for names, left in described.names:
                if left:
                    lacking.setdefault(left, []).append(names)
            for left, named in lacking.items():
                named_so = one_of_names(named)
                uses: JsonSchema = {"type": "object", "properties": {"use": named_so}, "required": ["use"]}
                rules.append({"if": uses, "then": {"required": list(left)}})
                rules.append({"not": named_so})
        return {"allOf": rules} if rules else {}


def _namer(entries: Sequence[Registered | RegisteredPreset]) -> Callable[[Registered | RegisteredPreset], Names]:
    """Return what finds the names of a component or preset among all of its kind, as the registry looks them up."""
    offered = Counter(_bare(entry) for entry in entries)
    built_in = {_bare(entry) for entry in entries if entry.distribution == BUILT_IN}

    def names_of(entry: Registered | RegisteredPreset) -> Names:
        name = _bare(entry)
        is_clear = entry.distribution == BUILT_IN if name in built_in else offered[name] == 1
        return Names(name if is_clear else None, entry.qualified)

    return names_of


def _bare(entry: Registered | RegisteredPreset) -> str:
    return entry.component.name if isinstance(entry, Registered) else entry.preset.name


def one_of_names(names: Sequence[Names], description: str | None = None) -> JsonSchema:
    """Return the schema of a string that is one of some names.

    Short names are listed, so that editors offer them; qualified ones are a pattern, which checks and offers nothing.

    Args:
        names: at least one.
        description: what editors say of each short name.
    """
    short: list[JsonValue] = [one.bare for one in names if one.bare is not None]
    said: JsonSchema = {} if description is None else {"description": description}
    listed: list[JsonValue] = [{**said, "enum": short}] if short else []
    qualified = "|".join(re.escape(one.qualified).replace("\\-", "-") for one in names)
    return {"type": "string", "anyOf": [*listed, {"pattern": f"^(?:{qualified})$"}]}


def _uses(described: Described) -> JsonSchema:
    named = one_of_names([names for names, _ in described.names])
    return {"type": "object", "properties": {"use": named}, "required": ["use"]}


def _closed(described: Described) -> JsonSchema:
    """Return a component's table: its fields, and no other key."""
    component = described.registered.component
    about: JsonSchema = {"title": component.name, "description": component.summary, "type": "object"}
    if described.properties is None:
        return about
    return {**about, "properties": {"use": {"type": "string"}, **described.properties}, "additionalProperties": False}


def _open(described: Described) -> JsonSchema:
    """Return a component's table as an editor reads it: what to offer, and what it means."""
    component = described.registered.component
    fields = described.properties or {}
    return {
        "title": component.name,
        "description": component.summary,
        "type": "object",
        "properties": {
            "use": one_of_names([names for names, _ in described.names], component.summary),
            **{name: {"$ref": f"#/$defs/{described.key}/properties/{name}"} for name in fields},
        },
    }
