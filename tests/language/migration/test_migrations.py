"""Former fields: found by their shape alone, told where they are unknown keys, and said anew over several versions."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from pydantic import Field, JsonValue

from specforge import builtin
from specforge.foundation.errors import RefusedError
from specforge.language import resolve
from specforge.language.components import check_components
from specforge.language.layers import read_layers
from specforge.language.merge import merge
from specforge.language.migration.migrations import Findings, find_former
from specforge.language.migration.rewriting import rewritten
from specforge.language.plugins import BrokenPlugin, LoadedPlugin, Plugins, PluginSource, declared, load_plugin
from specforge.language.registry import Registry
from specforge.plugin import Component, ComponentConfig, Migration, Preset, hookimpl

if TYPE_CHECKING:
    from spec_folder import SpecFolder

MODULE = "fields_of_a_test"


class WidthConfig(ComponentConfig):
    """The fields of version 4."""

    width: int = Field(default=8, description="how wide")
    heads: int = Field(default=1, description="how many")
    kind: str = Field(default="a", description="what kind")


def width_and_heads(value: JsonValue) -> Mapping[str, JsonValue]:
    """Version 3 had the width of a head: `[width, heads]` in one field."""
    if not isinstance(value, list):
        message = "a list was expected"
        raise ValueError(message)  # noqa: TRY004  # what the contract asks for
    return {"size": value[0], "heads": value[1]}


def broken(value: JsonValue) -> Mapping[str, JsonValue]:
    """Fail."""
    raise ZeroDivisionError(str(value))


COMPONENT = Component("model", "wide", f"{MODULE}:WidthConfig", f"{MODULE}:build", version=4)
MIGRATIONS = (
    Migration("model", "wide", 4, renamed={"size": "width"}),
    Migration("model", "wide", 2, renamed={"dim": "size"}, removed={"bias": True}),
    Migration("model", "wide", 3, edited={"shape": f"{MODULE}:width_and_heads", "odd": f"{MODULE}:broken"}),
)


def plugin(migrations: object, *components: Component | Preset) -> PluginSource:
    module = ModuleType("a_plugin")

    @hookimpl
    def specforge_components() -> Sequence[Component | Preset]:
        return components or (COMPONENT,)

    @hookimpl
    def specforge_migrations() -> object:
        return migrations

    module.specforge_components = specforge_components  # type: ignore[attr-defined]
    module.specforge_migrations = specforge_migrations  # type: ignore[attr-defined]
    return PluginSource("acme", "1.0", "main", lambda: module)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry with the model above."""
    module = ModuleType(MODULE)
    module.WidthConfig, module.width_and_heads, module.broken = WidthConfig, width_and_heads, broken  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, MODULE, module)
    preset = Preset("model", "wide_base", of="wide", values={"width": 16})
    return Registry(declared(builtin), "0.1.0", Plugins(lambda: [plugin(MIGRATIONS, COMPONENT, preset)]))


@pytest.fixture
def wide(specs: SpecFolder, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> SpecFolder:
    """A folder for specs where that model is installed."""
    monkeypatch.setattr(resolve, "load_registry", lambda: registry)
    return specs


def with_model(minimal: str, table: str) -> str:
    return minimal.replace('model = "transformer"', f"model = {{ {table} }}")


def found_in(path: Path, registry: Registry, *assignments: str) -> Findings:
    merged = merge(read_layers(path, assignments).layers)
    return find_former(merged, check_components(merged, registry).tables, registry)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('use = "wide", size = 4', [("size", {"width": 4}, "width", 4)]),
        ('use = "wide", dim = 4', [("dim", {"width": 4}, "width", 2)]),  # dim → size → width
        ('use = "wide", bias = true', [("bias", {}, None, 2)]),
        ('use = "wide", shape = [4, 2]', [("shape", {"width": 4, "heads": 2}, None, 3)]),
        ('use = "wide_base", dim = 4', [("dim", {"width": 4}, "width", 2)]),
        ('use = "acme/wide", dim = 4', [("dim", {"width": 4}, "width", 2)]),
        ('use = "wide", width = 4', []),
        ('use = "wide", unheard_of = 4', []),
        ('use = "transformer", dim = 4', []),
    ],
)
def test_what_a_former_field_becomes(
    wide: SpecFolder,
    minimal: str,
    registry: Registry,
    table: str,
    expected: list[tuple[str, dict[str, JsonValue], str | None, int]],
) -> None:
    findings = found_in(wide.write(with_model(minimal, table)), registry)

    assert () == findings.diagnostics
    assert expected == [(one.field, one.present, one.renamed, one.version) for one in findings.fields]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ('use = "wide", size = 4, width = 4', "`width` stands here, too"),
        ('use = "wide", shape = [4, 2], heads = 2', "it says what `heads` says here, too"),
        ('use = "wide", bias = false', "since version 2 it can only be true"),
        ('use = "wide", bias = 1', "since version 2 it can only be true"),
        ('use = "wide", shape = 3', "a list was expected"),
    ],
)
def test_nothing_is_guessed(wide: SpecFolder, minimal: str, registry: Registry, table: str, reason: str) -> None:
    findings = found_in(wide.write(with_model(minimal, table)), registry)

    assert () == findings.fields
    assert [("SF130", reason)] == [(one.code, one.labels[0].text) for one in findings.diagnostics]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('model = { use = "wide", shape = [4, 2] } # c\n', 'model = { use = "wide", width = 4, heads = 2 } # c\n'),
        (
            '[model]\nuse = "wide"\n  shape = [4,  # wide\n  2]  # c\n\n[run]\n',
            '[model]\nuse = "wide"\n  width = 4\n  heads = 2  # c\n\n[run]\n',
        ),
        ('model.use = "wide"\nmodel.shape = [4, 2]\n', 'model.use = "wide"\nmodel.width = 4\nmodel.heads = 2\n'),
        ('model = { use = "wide", bias = true, dim = 1_0 }\n', 'model = { use = "wide", width = 1_0 }\n'),
    ],
)
def test_how_it_is_written(wide: SpecFolder, minimal: str, registry: Registry, before: str, after: str) -> None:
    rest = minimal.replace('model = "transformer"\n', "")
    path = wide.write(rest + before)
    formers = found_in(path, registry).fields

    assert (rest + after).encode() == rewritten((wide.path / path).read_bytes(), formers[0].layer.source, formers)


def test_a_function_that_fails_is_its_plugins_fault(wide: SpecFolder, minimal: str, registry: Registry) -> None:
    path = wide.write(with_model(minimal, 'use = "wide", odd = 3'))

    with pytest.raises(RefusedError, match=r"the migration of `odd` by acme/wide@4 failed") as caught:
        found_in(path, registry)

    assert ("SF210", ("ZeroDivisionError: 3",)) == (caught.value.code, caught.value.notes)


def test_every_layer_is_looked_through(wide: SpecFolder, minimal: str, registry: Registry) -> None:
    wide.write(with_model(minimal, 'use = "wide", dim = 4'), "base.toml")
    path = wide.write('extends = "base.toml"\nunset = ["model.dim"]\n[sweep.grid]\n"model.dim" = [1, 2]\n')

    found = found_in(path, registry, "model.dim=3").fields

    assert [
        ("base.toml", ("model", "dim"), False),
        ("spec.toml", ("unset", 0), True),
        ("spec.toml", ("sweep", "grid", "model.dim"), True),
        ("--set", ("model", "dim"), False),
    ] == [(one.layer.source.text.name, one.typed, one.mention) for one in found]


def test_a_table_of_another_component_is_left_alone(wide: SpecFolder, minimal: str, registry: Registry) -> None:
    wide.write(with_model(minimal, 'use = "transformer", dim = 4'), "base.toml")
    path = wide.write('extends = "base.toml"\nmodel = { use = "wide", heads = 2 }\n')

    assert () == found_in(path, registry).fields


@pytest.mark.parametrize(
    ("table", "words", "command"),
    [
        ('use = "wide", dim = 4', "called `width` now", "`specforge migrate spec.toml` edits it"),
        ('use = "wide", bias = true', "no longer a key since version 2", "`specforge migrate spec.toml` edits it"),
    ],
)
def test_an_unknown_key_that_a_migration_knows_names_the_command(
    wide: SpecFolder, minimal: str, table: str, words: str, command: str
) -> None:
    (found,) = wide.diagnostics(with_model(minimal, table))

    assert ("SF101", words, command) == (found.code, found.labels[0].text, found.help)


def test_the_command_names_the_extended_file_too(wide: SpecFolder, minimal: str) -> None:
    wide.write(with_model(minimal, 'use = "wide", dim = 4'), "base.toml")

    (found,) = wide.diagnostics('extends = "base.toml"\n')

    assert "`specforge migrate spec.toml base.toml` edits it" == found.help


def test_an_argument_is_told_the_new_name(wide: SpecFolder, minimal: str) -> None:
    (found,) = wide.diagnostics(with_model(minimal, 'use = "wide"'), "model.dim=3")

    assert "write `model.width`" == found.help


@pytest.mark.parametrize(
    ("migrations", "cause"),
    [
        ("model", "`specforge_migrations` returned str, not a list or tuple"),
        ([COMPONENT], "`specforge_migrations` returned something of type Component among its migrations"),
        ([Migration("model", "narrow", 2, renamed={"a": "b"})], "the plugin offers no such component"),
        ([Migration("model", "wide", 5, renamed={"a": "b"})], "its version is one from 2 to the component's own, 4"),
        ([Migration("model", "wide", 1, renamed={"a": "b"})], "its version is one from 2 to the component's own, 4"),
        ([Migration("model", "wide", 2)], "it names no former field"),
        ([Migration("model", "wide", 2, renamed={"a": 3})], "a field is renamed to a field"),  # type: ignore[dict-item]
        ([Migration("model", "wide", 2, renamed=["a"])], "are tables of former fields"),  # type: ignore[arg-type]
        ([Migration("model", "wide", 2, edited={"a": "os.system"})], "'os.system' is not of the form"),
        (
            [Migration("model", "wide", 2, renamed={"a": "b"}), Migration("model", "wide", 3, removed={"a": 1})],
            "two migrations say what became of `a` of the model `wide`",
        ),
    ],
)
def test_a_wrong_migration_breaks_the_plugin(migrations: object, cause: str) -> None:
    broken_one = load_plugin(plugin(migrations))

    assert isinstance(broken_one, BrokenPlugin)
    assert cause in broken_one.cause


def test_migrations_come_in_the_order_of_versions() -> None:
    loaded = load_plugin(plugin(MIGRATIONS))

    assert isinstance(loaded, LoadedPlugin)
    assert [2, 3, 4] == [migration.to_version for migration in loaded.migrations]
