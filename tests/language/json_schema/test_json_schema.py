"""The JSON Schema of specs: it takes what `validate` takes, and refuses what that refuses, as far as JSON Schema can say it."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field

from specforge import builtin
from specforge.language.component_places import COMPONENT_TABLES
from specforge.language.json_schema.document import SpecSchema, spec_schema
from specforge.language.messages.diagnostics import SpecError
from specforge.language.plugins import Plugins, PluginSource, declared
from specforge.language.registry import Registry, load_registry
from specforge.language.resolve import load_spec
from specforge.language.schema.document import SpecDocument
from specforge.language.text.toml_text import toml_document
from specforge.plugin import KINDS, Component, ComponentConfig, Preset, hookimpl

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spec_folder import SpecFolder

ROOT = Path(__file__).parents[3]
SPECS = sorted((ROOT / "specs").rglob("*.toml"))
ABOUT_KEYS_AND_VALUES = {"SF101", "SF102", "SF103", "SF201", "SF302"}


def built_in(*sources: PluginSource) -> Registry:
    return Registry(declared(builtin), "0.1.0", Plugins(lambda: sources))


SCHEMA: Any = spec_schema(built_in()).schema
VALIDATOR = Draft202012Validator(SCHEMA)


def minimal(**changes: object) -> dict[str, Any]:
    """Return the smallest spec, with some root keys changed; None takes one out."""
    spec: dict[str, object] = {
        "specforge": 1,
        "task": {"use": "translation", "source": "en", "target": "de"},
        "data": {"train": "train", "valid": "valid", "test": "test"},
        "model": "transformer",
        "train": {"max_updates": 10},
        **changes,
    }
    return {key: value for key, value in spec.items() if value is not None}


def refused(spec: object, validator: Draft202012Validator = VALIDATOR) -> list[str]:
    """Return the paths at which a validator finds something wrong."""
    return sorted({error.json_path for error in validator.iter_errors(spec)})


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(SCHEMA)
    for pointer in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        found: Any = SCHEMA
        for part in pointer.split("/"):
            found = found[part]

        assert isinstance(found, dict)


def test_it_holds_no_null_which_toml_does_not_have() -> None:
    assert "null" not in json.dumps(SCHEMA)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_spec_of_the_repository_is_valid(path: Path) -> None:
    validator = Draft202012Validator(spec_schema(load_registry()).schema)

    assert [] == refused(tomllib.loads(path.read_text(encoding="utf-8")), validator)


def test_every_component_and_preset_may_be_named_with_and_without_its_distribution() -> None:
    registry = load_registry()
    validator = Draft202012Validator(spec_schema(registry).schema)
    wanting: dict[str, dict[str, object]] = {"translation": {"source": "en", "target": "de"}, "optimizer": {"lr": 0.1}}
    for path, kind in COMPONENT_TABLES.items():
        components = [one.qualified for one in registry.components(kind)]
        for name in components + [one.qualified for one in registry.presets(kind)]:
            for use in (name, name.rpartition("/")[2]):
                table = {"use": use, **wanting.get(kind, {}), **wanting.get(name.rpartition("/")[2], {})}
                spec = minimal()
                holder = spec if len(path) == 1 else spec.setdefault(path[0], {})
                holder[path[-1]] = table

                assert [] == refused(spec, validator), use


def test_every_field_of_every_component_is_described() -> None:
    definitions: Any = spec_schema(load_registry()).schema["$defs"]
    silent = [
        f"{name}.{field}"
        for name, definition in definitions.items()
        if name.partition(".")[0] in KINDS and "properties" in definition
        for field, schema in definition["properties"].items()
        if field != "use" and "description" not in schema
    ]

    assert [] == silent


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"use": "specforge/fconv_wmt_en_de", "dropout": 0}},
        {"optimizer": {"lr": 1}},
        {"lr_scheduler": {"warmup_updates": 400}},
        {"train": {"max_epochs": 3, "validate_every": "2_500 updates", "best_metric": "bleu", "valid_search": "beam"}},
        {"train": {"max_epochs": 3, "best_metric": "specforge/bleu"}},
        {"generate": {"metrics": "bleu"}},
        {"generate": {"metrics": {"use": "bleu", "tokenize": "none"}}},
        {"generate": {"metrics": ["bleu", {"use": "ter"}], "search": {"beam": 4}}},
        {"data": {"train": {"path": "a", "hold_out": 0.1}}},
        {"data": {"train": ["a", {"path": "b", "weight": 2}], "valid": {"path": "c"}}},
        {"data": {"train": [{"path": "b", "hold_out": {"valid": 0.1, "distinct": "en"}}]}},
        {"data": {"train": "a", "valid": "b", "test": {"path": "c", "format": "tsv"}}},
        {"data": {"train": "a", "valid": "b", "test": {"one": "c", "two": {"path": "d"}, "path": {"path": "e"}}}},
        {"allow": ["SF412"], "name": "a.b-c", "seed": 2**63 - 1, "run": {"devices": 2}},
        {
            "extends": "base.toml",
            "specforge": None,
            "task": None,
            "train": {"clip_norm": 1.0},
            "unset": ["run.workers"],
        },
        {"extends": "a.toml", "optimizer": {"momentum": 0.9}},
        {"extends": ["a.toml"], "data": {"train": {"hold_out": {"distinct": "en"}}}, "optimizer": {"use": "nag"}},
        {"extends": "base.toml", "generate": {"metrics": {"0": {"tokenize": "none"}}}},
        {"run": {"trackers": "tensorboard"}},
        {"generate": {"bootstrap": 40}},
        {"run": {"trackers": []}},
        {"run": {"trackers": [{"use": "tensorboard"}, "specforge/tensorboard"]}},
        {"sweep": {"grid": {"train.max_updates": [10, 20], "model": {"dropout": [0.1]}}}},
    ],
)
def test_what_is_right_is_valid(changes: dict[str, object]) -> None:
    assert [] == refused(minimal(**changes))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"modle": "transformer"}, "$"),
        ({"model": None}, "$"),
        ({"specforge": 2}, "$.specforge"),
        ({"seed": -1}, "$.seed"),
        ({"seed": True}, "$.seed"),
        ({"name": "a/b"}, "$.name"),
        ({"allow": ["SF101"]}, "$.allow[0]"),
        ({"model": "transformr"}, "$.model"),
        ({"run": {"trackers": "tensorbord"}}, "$.run.trackers"),
        ({"run": {"trackers": [{}]}}, "$.run.trackers"),
        ({"run": {"trackers": ["bleu"]}}, "$.run.trackers"),
        ({"run": {"trackers": {"use": "tensorboard", "directory": "a"}}}, "$.run.trackers"),
        ({"model": "specforge-focal/transformer"}, "$.model"),
        ({"model": {"dropout": 0.1}}, "$.model"),
        ({"model": {"use": "transformer", "droput": 0.1}}, "$.model"),
        ({"model": {"use": "transformer", "kernel": 3}}, "$.model"),
        ({"model": {"use": "transformer", "dropout": 1.0}}, "$.model"),
        ({"model": {"use": "transformer", "dropout": "0.1"}}, "$.model"),
        ({"model": {"use": "fconv", "encoder_layers": 6}}, "$.model"),
        ({"model": {"use": "transformer", "norm": "before"}}, "$.model"),
        ({"task": "translation"}, "$.task"),
        ({"task": {"use": "translation", "source": "en"}}, "$.task"),
        ({"optimizer": {"momentum": 0.9}}, "$.optimizer"),
        ({"optimizer": {"use": "adam", "betas": [0.9]}}, "$.optimizer"),
        ({"optimizer": {"use": "adam", "betas": [0.9, 1.5]}}, "$.optimizer"),
        ({"train": {}}, "$.train"),
        ({"train": {"max_updates": 1.5}}, "$.train.max_updates"),
        ({"train": {"max_updates": 3, "validate_every": "2 minutes"}}, "$.train.validate_every"),
        ({"train": {"max_updates": 3, "best_metric": "bluo"}}, "$.train.best_metric"),
        ({"generate": {"metrics": []}}, "$.generate.metrics"),
        ({"generate": {"metrics": [{"tokenize": "none"}]}}, "$.generate.metrics"),
        ({"generate": {"search": {"use": "greedy", "beam": 4}}}, "$.generate.search"),
        ({"data": {"train": "a"}}, "$.data"),
        ({"data": {"valid": "a"}}, "$.data"),
        ({"data": {"train": {"path": "a", "hold_out": {"test": 0.1}}}}, "$.data"),
        ({"data": {"train": {"path": "a", "hold_out": 1.0}}}, "$.data.train"),
        ({"data": {"train": [{"weight": 2.0}], "valid": "a"}}, "$.data.train"),
        ({"data": {"train": {"path": "a", "hold_out": {}}, "valid": "a"}}, "$.data.train.hold_out"),
        ({"data": {"train": "", "valid": "a"}}, "$.data.train"),
        ({"data": {"train": "a", "valid": "b", "test": {"best": "c"}}}, "$.data.test"),
        ({"data": {"train": "a", "valid": "b", "test": {"one": {"wight": 1.0, "path": "c"}}}}, "$.data.test"),
        ({"train": {}, "sweep": {"grid": {"train.max_updates": [10]}}}, "$.train"),  # right without its sweep, too
        ({"sweep": {"grid": {"train.max_updates": 10}}}, "$.sweep.grid['train.max_updates']"),
        ({"extends": "a.toml", "optimizer": {"warmup": 3}}, "$.optimizer"),  # of no optimizer
        ({"extends": "a.toml", "optimizer": {"eps": 0.1, "momentum": 0.9}}, "$.optimizer"),  # of two of them
        ({"extends": 3}, "$.extends"),
        ({"unset": [3]}, "$.unset"),
        ({"generate": {"bootstrap": 1}}, "$.generate.bootstrap"),
        ({"generate": {"bootstrap": 39}}, "$.generate.bootstrap"),
    ],
)
def test_what_is_wrong_is_refused_where_it_stands(changes: dict[str, object], place: str) -> None:
    assert place in refused(minimal(**changes))


class Layer(BaseModel):
    """A table inside a component's table."""

    model_config = ConfigDict(extra="forbid")

    width: int = Field(ge=1, description="how wide")


class MegaConfig(ComponentConfig):
    """A config with a table of its own, a required field and a field that may be left out."""

    size: int = Field(ge=1, description="how big")
    first: Layer = Field(default=Layer(width=1), description="the first layer")
    rate: float | None = Field(default=None, description="how fast")


class OddConfig(ComponentConfig):
    """A config with a type that JSON Schema cannot express."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    pattern: Callable[[int], int] = Field(default=abs, description="a function")


def plugin_of(*declarations: Component | Preset) -> PluginSource:
    module = ModuleType("schema_plugin")

    @hookimpl
    def specforge_components() -> Sequence[Component | Preset]:
        return declarations

    module.specforge_components = specforge_components  # type: ignore[attr-defined]
    return PluginSource("acme", "1.0", "main", lambda: module)


def model(name: str, config: str) -> Component:
    return Component("model", name, config, "configs_of_the_schema:build", summary=f"the {name}")


@pytest.fixture
def with_plugins(monkeypatch: pytest.MonkeyPatch) -> SpecSchema:
    """The schema where a plugin offers two odd models, one that cannot be loaded, and a preset; another is broken."""
    module = ModuleType("configs_of_the_schema")
    module.Mega, module.Odd = MegaConfig, OddConfig  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def broken() -> object:
        message = "No module named 'flash'"
        raise ModuleNotFoundError(message)

    offered = plugin_of(
        model("mega", "configs_of_the_schema:Mega"),
        model("odd", "configs_of_the_schema:Odd"),
        model("absent", "module_that_is_absent:Config"),
        model("fconv", "configs_of_the_schema:Mega"),
        Preset("model", "mega_base", of="mega", values={"size": 8}),
        Preset("model", "lonely", of="elsewhere/mega", values={"size": 8}),
    )
    return spec_schema(built_in(offered, PluginSource("bad", "0.1", "bad", broken)))


@pytest.mark.parametrize(
    ("table", "is_right"),
    [
        ({"use": "mega", "size": 3}, True),
        ({"use": "acme/mega", "size": 3, "first": {"width": 2}, "rate": 0.5}, True),
        ({"use": "mega"}, False),  # size is required
        ("mega", False),
        ({"use": "mega_base"}, True),  # the preset says it
        ("mega_base", True),
        ({"use": "mega", "size": 3, "first": {"width": 0}}, False),
        ({"use": "mega", "size": 3, "first": {"depth": 1}}, False),
        ({"use": "odd", "anything": 3}, True),  # its fields are unknown
        ({"use": "absent"}, False),
        ({"use": "fconv", "dropout": 0.1}, True),  # the built-in one: a plugin cannot take its name
        ({"use": "fconv", "size": 3}, False),
        ({"use": "acme/fconv", "size": 3}, True),
    ],
)
def test_plugins_are_part_of_it(with_plugins: SpecSchema, table: object, is_right: bool) -> None:  # noqa: FBT001
    found = refused(minimal(model=table), Draft202012Validator(with_plugins.schema))

    assert is_right is (found == []), found


def test_a_name_that_two_plugins_offer_needs_its_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("configs_of_the_schema")
    module.Mega = MegaConfig  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    one = plugin_of(model("mega", "configs_of_the_schema:Mega"))
    other = PluginSource("other", "1.0", "main", one.load)
    validator = Draft202012Validator(spec_schema(built_in(one, other)).schema)

    assert [] == refused(minimal(model={"use": "other/mega", "size": 3}), validator)
    assert ["$.model"] == refused(minimal(model={"use": "mega", "size": 3}), validator)


def test_what_is_left_out_is_told(with_plugins: SpecSchema) -> None:
    plugin, component, fields, preset = with_plugins.left_out

    assert "plugin `bad` of bad 0.1: ModuleNotFoundError: No module named 'flash'" == plugin
    assert fields.startswith("the fields of the model `acme/odd`: ")
    assert "the model `acme/absent` cannot be loaded: ModuleNotFoundError: No module named 'module_that_is_absent'" == (
        component
    )
    assert "the preset `acme/lonely`: its model `elsewhere/mega` is not installed" == preset


def resolved(schema: Any) -> dict[str, Any]:
    """Return what a reference stands for, with what is said beside it."""
    while "$ref" in schema:
        found: Any = SCHEMA
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
    assert isinstance(schema, dict)
    return schema


OTHERS = st.sampled_from([True, False, 3, -1, 0, 0.5, "text", "", [], [1], {}, {"a": 1}])
"""Values of all types: wrong in most places."""


def values_of(schema: Any) -> st.SearchStrategy[Any]:
    """Return values near what a field's schema allows: on both sides of its bounds, and of other types."""
    schema = resolved(schema)
    near: st.SearchStrategy[Any]
    if "enum" in schema:
        near = st.sampled_from(schema["enum"])
    elif "anyOf" in schema:
        always = {name: value for name, value in schema.items() if name != "anyOf"}
        near = st.one_of([values_of({**always, **each}) for each in schema["anyOf"]])
    elif "prefixItems" in schema:
        near = st.tuples(*map(values_of, schema["prefixItems"])).map(list)
    elif schema.get("type") == "integer":
        low, high = schema.get("minimum", 0), schema.get("maximum", 1_000)
        near = st.integers(low - 1, min(high + 1, 2**63 - 1))
    elif schema.get("type") == "number":
        low = schema.get("minimum", schema.get("exclusiveMinimum", -2))
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 10))
        near = st.sampled_from([low, high, (low + high) / 2, low - 1, high + 0.5])
    elif schema.get("type") == "boolean":
        near = st.booleans()
    elif schema.get("type") == "array":
        near = st.lists(values_of(schema["items"]), max_size=2) if "items" in schema else st.just([])
    else:
        near = st.sampled_from(["en", "1 epoch", "12 updates", "3 minutes"])
    return st.one_of(near, near, near, OTHERS)


def tables_of(schema: Any, without: frozenset[str] = frozenset()) -> st.SearchStrategy[dict[str, Any]]:
    """Return tables with some of the fields of a table, and at times a key that it does not have."""
    fields = {name: values_of(each) for name, each in schema["properties"].items() if name not in {"use", *without}}
    return st.fixed_dictionaries({}, optional={**fields, "unheard_of": OTHERS}).flatmap(_few)


def _few(table: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a few keys of a table, so that one wrong value does not hide all others."""
    keys = sorted(table)
    return (
        st.lists(st.sampled_from(keys), unique=True, max_size=3).map(lambda kept: {key: table[key] for key in kept})
        if keys
        else st.just({})
    )


# What these fields allow stands in code, or they are tables with a law of their own, tried above.
BY_CODE = frozenset({"user_defined_symbols", "remove_bpe", "encoder_layers", "decoder_layers", "decoder_attention"})
OF_SECTIONS = frozenset({"valid_search", "search", "metrics", "train", "valid", "test", "root"})


@st.composite
def specs_near_the_rules(draw: st.DrawFn) -> dict[str, Any]:
    """Return a spec with one table written at random."""
    definitions: Any = SCHEMA["$defs"]
    spec = minimal()
    if draw(st.booleans()):
        name = draw(st.sampled_from(["preprocess", "train", "generate", "run"]))
        table = draw(tables_of(resolved(SCHEMA["properties"][name]), OF_SECTIONS))
        spec[name] = {**spec.get(name, {}), **table}
        return spec
    key = draw(
        st.sampled_from(
            sorted(name for name in definitions if name.count(".") > 1 and "properties" in definitions[name])
        )
    )
    kind, _, use = key.split(".", 2)
    table = draw(tables_of(definitions[key], BY_CODE))
    if kind not in {"task", "model", "metric"} and draw(st.booleans()):
        pass  # the task says which component it is
    else:
        table = {"use": draw(st.sampled_from([use, f"specforge/{use}"])), **table}
    if kind == "task":
        table = {"source": "en", "target": "de", **table}
    path = {"search": ("generate", "search"), "metric": ("generate", "metrics")}.get(kind, (kind,))
    holder = spec if len(path) == 1 else spec.setdefault(path[0], {})
    holder[path[-1]] = table
    return spec


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(specs_near_the_rules())
def test_it_agrees_with_validate(specs: SpecFolder, spec: dict[str, Any]) -> None:
    path = specs.write(toml_document(copy.deepcopy(spec)))
    try:
        load_spec(path)
        wrong = []
    except SpecError as error:
        wrong = [one for one in error.diagnostics if one.code in ABOUT_KEYS_AND_VALUES]

    # what TOML cannot write (an empty table in an array) is gone from the file: compare what was read
    assert bool(wrong) is bool(refused(tomllib.loads((specs.path / path).read_text()))), [
        str(one.message) for one in wrong
    ]


def test_the_fixed_tables_have_the_fields_of_their_models() -> None:
    assert {*SpecDocument.model_fields, "extends", "unset"} == SCHEMA["properties"].keys()
