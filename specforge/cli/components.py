"""`specforge components`: what a spec may name, by which distribution, with fields and presets.

`--json` prints one object. Without NAME: `components` and `presets`, each with kind, name, distribution,
distribution_version, version (of a component), component and values (of a preset) and summary. With NAME: `component`,
`preset` (or null), `fields` and `presets`.
"""

from __future__ import annotations

import argparse
import inspect
from typing import TYPE_CHECKING

from pydantic import JsonValue

from specforge.cli import output
from specforge.cli.fields import FieldFacts, fields_of, value_text
from specforge.cli.tables import table
from specforge.foundation.durable import json_text
from specforge.foundation.errors import ExitCode
from specforge.foundation.terminal import printable
from specforge.language.plugins import BUILT_IN
from specforge.language.registry import RegisteredPreset, Registry, config_class, load_registry
from specforge.language.spec import Registered
from specforge.plugin import KINDS, Kind, Preset

if TYPE_CHECKING:
    from specforge.cli.main import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of this command."""
    parser = subparsers.add_parser(
        "components",
        help="list what a spec may name, with its fields",
        description="List what a spec may write after `use =`; with KIND only these; with NAME its fields and presets.",
    )
    parser.add_argument("kind", nargs="?", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("name", nargs="?", metavar="NAME", help="a component or preset, as `use =` names it")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List components, or describe one."""
    registry = load_registry()
    kind: Kind | None = arguments.kind
    name: str | None = arguments.name
    if kind is None or name is None:
        _list(registry, kind, as_json=arguments.json)
    else:
        _describe(registry, kind, name, as_json=arguments.json)
    return ExitCode.DONE


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
    fields = fields_of(config)
    presets = [one for one in registry.presets(kind) if one.component == registered.qualified]
    chosen = next((one for one in presets if one.preset is match.preset), None)
    if as_json:
        _print_json(
            {
                "component": _component_json(registered),
                "preset": None if chosen is None else _preset_json(chosen),
                "fields": [_field_json(field) for field in fields],
                "presets": [_preset_json(one) for one in presets],
            }
        )
        return
    for line in _title(registered, chosen):
        output.result(printable(line))
    for line in inspect.cleandoc(config.__doc__ or "").split("\n"):
        output.result(printable(line))
    output.result("")
    _print_fields(fields, match.preset)
    if presets:
        output.result("\npresets, and what they set")
        for line in output.columns([_preset_cells(one) for one in presets]):
            output.result(line)


def _title(registered: Registered, chosen: RegisteredPreset | None) -> tuple[str, ...]:
    component = registered.component
    origin = "built in" if registered.distribution == BUILT_IN else f"from {registered.distribution}"
    first = f"{component.kind} {component.name}: {component.summary}"
    second = f"{origin}, version {registered.distribution_version}; in keys it is {registered.identity}"
    if chosen is None:
        return first, second, ""
    preset = chosen.preset
    return f"{preset.kind} {preset.name}: {preset.summary}", f"preset of {registered.qualified}", "", first, second, ""


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
            row.insert(4, value_text(preset.values[field.name]) if field.name in preset.values else "")
    table(heads, rows)


def _meaning(field: FieldFacts) -> str:
    remarks = [] if field.identity else ["changes no result"]
    remarks += ["may grow without starting over"] if field.continues else []
    return f"{field.description} ({', '.join(remarks)})" if remarks else field.description


def _preset_cells(one: RegisteredPreset) -> tuple[str, str, str]:
    values = ", ".join(f"{field} = {value_text(value)}" for field, value in one.preset.values.items())
    return printable(one.preset.name), one.distribution, printable(values or "the defaults", longest=1_000)


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


def _preset_json(one: RegisteredPreset) -> dict[str, JsonValue]:
    return {
        "kind": one.preset.kind,
        "name": one.preset.name,
        "distribution": one.distribution,
        "distribution_version": one.distribution_version,
        "component": one.component,
        "values": dict(one.preset.values),
        "summary": one.preset.summary,
    }


def _field_json(field: FieldFacts) -> dict[str, JsonValue]:
    return {
        "name": field.name,
        "type": field.type,
        "range": field.range,
        "required": field.required,
        "default": field.default,
        "description": field.description,
        "identity": field.identity,
        "continues": field.continues,
    }


def _print_json(value: dict[str, JsonValue]) -> None:
    output.result(json_text(value).decode().removesuffix("\n"))
