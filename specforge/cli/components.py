"""`specforge components`: what a spec may name, by which distribution, with fields and presets.

What `--json` prints is described in docs/reference/json.md.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from specforge.cli.views import output
from specforge.cli.views.fields import FieldFacts, fields_of, rules_of, value_text
from specforge.cli.views.tables import table
from specforge.foundation.durable import json_text
from specforge.foundation.errors import ExitCode, WrongInputError
from specforge.foundation.terminal import printable
from specforge.language.messages.suggest import nearest
from specforge.language.plugins import BUILT_IN
from specforge.language.registry import RegisteredPreset, Registry, config_class, load_registry
from specforge.language.spec import Registered
from specforge.plugin import KEYLESS_KINDS, KINDS, ComponentConfig, Kind, Preset, TaskConfig

if TYPE_CHECKING:
    from specforge.cli.main import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of this command."""
    parser = subparsers.add_parser(
        "components",
        help="list what a spec may name, with its fields",
        description="List what a spec may write after `use =`; with KIND only these; with NAME its fields and presets.",
    )
    parser.add_argument("kind", nargs="?", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("name", nargs="?", metavar="NAME", help="a component or preset, as `use =` names it")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List components, or describe one."""
    registry = load_registry()
    kind = None if arguments.kind is None else _kind(registry, arguments.kind)
    name: str | None = arguments.name
    if kind is None or name is None:
        _list(registry, kind, as_json=arguments.json)
    else:
        _describe(registry, kind, name, as_json=arguments.json)
    return ExitCode.DONE


def _kind(registry: Registry, typed: str) -> Kind:
    """Return a kind by its name.

    Raises:
        WrongInputError: SF144, there is no such kind.
    """
    for kind in KINDS:
        if typed == kind:
            return kind
    found = [one.component.kind for one in registry.components() if typed in {one.component.name, one.qualified}]
    found += [
        one.preset.kind
        for one in registry.presets()
        if typed in {one.preset.name, f"{one.distribution}/{one.preset.name}"}
    ]
    near = nearest(typed, KINDS)
    if found:
        hint = f"did you mean `specforge components {found[0]} {printable(typed)}`?"
    else:
        hint = f"did you mean `{near}`?" if near else f"the kinds are {', '.join(KINDS)}"
    raise WrongInputError("SF144", f"there is no kind of component `{printable(typed)}`", help=hint)


def _list(registry: Registry, kind: Kind | None, *, as_json: bool) -> None:
    components, presets = registry.components(kind), registry.presets(kind)
    if as_json:
        _print_json(
            {
                "components": [_component_json(one) for one in components],
                "presets": [_preset_json(one) for one in presets],
            }
        )
        return
    rows: list[tuple[str, str, str, str]] = []
    for each in KINDS if kind is None else (kind,):
        rows += _rows(
            [one for one in components if one.component.kind == each],
            [one for one in presets if one.preset.kind == each],
        )
    table(("kind", "name", "distribution", "summary"), rows)
    for record in registry.plugins():
        if record.state == "broken":
            output.note(f"warning: plugin `{record.entry_point}` of {record.distribution} is broken: {record.cause}")


def _rows(components: list[Registered], presets: list[RegisteredPreset]) -> list[tuple[str, str, str, str]]:
    """Return the rows of one kind: each component with its presets below, those of absent components last."""
    rows: list[tuple[str, str, str, str]] = []
    left = list(presets)
    for registered in components:
        component = registered.component
        rows.append((component.kind, component.name, registered.distribution, component.summary))
        own = [one for one in left if one.component == registered.qualified]
        rows += [_preset_row(one, f"preset of {component.name}") for one in own]
        left = [one for one in left if one not in own]
    return rows + [_preset_row(one, f"preset of {one.component}, which is not installed") for one in left]


def _preset_row(one: RegisteredPreset, what: str) -> tuple[str, str, str, str]:
    preset = one.preset
    return preset.kind, f"  {preset.name}", one.distribution, f"{what}: {preset.summary}" if preset.summary else what


def _describe(registry: Registry, kind: Kind, name: str, *, as_json: bool) -> None:
    match = registry.find(kind, name)
    registered = match.registered
    config = config_class(registered)
    fields, rules = fields_of(config), rules_of(config)
    presets = [one for one in registry.presets(kind) if one.component == registered.qualified]
    chosen = next((one for one in presets if one.preset is match.preset), None)
    if as_json:
        _print_json(
            {
                "component": _component_json(registered),
                "preset": None if chosen is None else _preset_json(chosen, fields),
                "fields": [_field_json(field, match.preset) for field in fields],
                "rules": list(rules),
                "presets": [_preset_json(one, fields) for one in presets],
            }
        )
        return
    for line in _title(registered, chosen):
        output.result(printable(line))
    for line in inspect.cleandoc(config.__doc__ or "").split("\n"):
        output.result(printable(line))
    output.result("")
    _print_fields(fields, match.preset)
    _print_list("across fields", [(printable(rule),) for rule in rules])
    _print_list("where a spec says nothing, the task takes", _default_parts(config))
    _print_list("presets, and what they change", [_preset_cells(one, fields) for one in presets])


def _title(registered: Registered, chosen: RegisteredPreset | None) -> tuple[str, ...]:
    component = registered.component
    in_no_key = component.kind in KEYLESS_KINDS
    keyed = "in no key, it changes no result" if in_no_key else f"in keys it is {registered.identity}"
    lines = [
        f"{component.kind} {component.name}: {component.summary}",
        f"{_origin(registered.distribution, registered.distribution_version)}; {keyed}",
        f'a spec writes `use = "{component.name}"`, or `"{registered.qualified}"` to say whose',
    ]
    if chosen is None:
        return (*lines, "")
    preset, whose = chosen.preset, _origin(chosen.distribution, chosen.distribution_version)
    return (
        f"{preset.kind} {preset.name}: {preset.summary}",
        f"{whose}; a preset of {registered.qualified}: in keys its values count, not its name",
        f'a spec writes `use = "{preset.name}"`, or `"{chosen.distribution}/{preset.name}"` to say whose',
        "",
        *lines[:2],
        "",
    )


def _origin(distribution: str, version: str) -> str:
    return f"{'built in' if distribution == BUILT_IN else f'from {distribution}'}, version {version}"


def _print_list(title: str, rows: Sequence[Sequence[str]]) -> None:
    if rows:
        output.result(f"\n{title}")
        for line in output.columns(rows):
            output.result(line)


def _default_parts(config: type[ComponentConfig]) -> list[tuple[str, str]]:
    """Return the component that a task takes for each table that a spec leaves out."""
    return [(kind, name) for kind, name in config.defaults.items()] if issubclass(config, TaskConfig) else []


def _print_fields(fields: tuple[FieldFacts, ...], preset: Preset | None) -> None:
    if not fields:
        output.result("It has no fields.")
        return
    heads = ["field", "type", "range", "default", "description"]
    rows = [
        [
            field.name,
            field.type,
            field.range,
            "required" if field.required else value_text(field.default),
            _meaning(field),
        ]
        for field in fields
    ]
    if preset is not None:
        heads.insert(4, preset.name)
        for field, row in zip(fields, rows, strict=True):
            row.insert(4, value_text(preset.values[field.name]) if field.name in preset.values else row[3])
    table(heads, rows)


def _meaning(field: FieldFacts) -> str:
    remarks = [] if field.identity else ["changes no result"]
    remarks += ["may grow without starting over"] if field.continues else []
    remarks += [] if field.neutral is None else [f"not in keys while {value_text(field.neutral['value'])}"]
    return f"{field.description} ({', '.join(remarks)})" if remarks else field.description


def _preset_cells(one: RegisteredPreset, fields: Sequence[FieldFacts]) -> tuple[str, str, str]:
    """Return name, distribution, and the values that are not the defaults; then the fields that it keeps at them."""
    changed = _changes(one.preset, fields)
    told = [f"{field} = {value_text(value)}" for field, value in changed.items()] or ["nothing"]
    kept = [field for field in one.preset.values if field not in changed]
    words = ", ".join(told) + (f"; it names the defaults of {', '.join(kept)}" if kept else "")
    return printable(one.preset.name), one.distribution, printable(words, longest=1_000)


def _changes(preset: Preset, fields: Sequence[FieldFacts]) -> dict[str, JsonValue]:
    """Return the values of a preset that differ from the defaults."""
    defaults = {field.name: field.default for field in fields if not field.required}
    return {
        field: value
        for field, value in preset.values.items()
        if field not in defaults or _listed(defaults[field]) != _listed(value)
    }


def _listed(value: object) -> object:
    """Return a value with its tuples as lists: which of them it is written with makes no difference."""
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value


def _component_json(registered: Registered) -> dict[str, JsonValue]:
    component = registered.component
    return {
        "kind": component.kind,
        "name": component.name,
        "distribution": registered.distribution,
        "distribution_version": registered.distribution_version,
        "version": component.version,
        "summary": component.summary,
    }


def _preset_json(one: RegisteredPreset, fields: Sequence[FieldFacts] | None = None) -> dict[str, JsonValue]:
    """Return a preset as JSON; with the fields of its component, also which of its values are not the defaults."""
    changes: dict[str, JsonValue] = {} if fields is None else {"changes": dict(_changes(one.preset, fields))}
    return {
        "kind": one.preset.kind,
        "name": one.preset.name,
        "distribution": one.distribution,
        "distribution_version": one.distribution_version,
        "component": one.component,
        "values": dict(one.preset.values),
        **changes,
        "summary": one.preset.summary,
    }


def _field_json(field: FieldFacts, preset: Preset | None) -> dict[str, JsonValue]:
    return {
        "name": field.name,
        "type": field.type,
        "range": field.range,
        "required": field.required,
        "default": field.default,
        "description": field.description,
        "identity": field.identity,
        "continues": field.continues,
        "neutral": None if field.neutral is None else dict(field.neutral),
        "effective": field.default if preset is None else preset.values.get(field.name, field.default),
    }


def _print_json(value: dict[str, JsonValue]) -> None:
    output.result(json_text(value).decode().removesuffix("\n"))
