"""Component tables: each checked by its own config, mistakes in words of the spec, plugins' faults told as theirs."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from specforge import builtin
from specforge.language import resolve
from specforge.language.plugins import Plugins, PluginSource, declared
from specforge.language.registry import Registry
from specforge.plugin import Component, ComponentConfig, Preset, TaskConfig, hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spec_folder import SpecFolder

MODULE = "configs_of_a_test"


class Layer(BaseModel):
    """A table inside a component's table."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    width: int = Field(ge=1, description="how wide")
    kind: Literal["conv", "gate"] = "conv"


class MegaConfig(ComponentConfig):
    """A config with what built-in ones have not: nested tables, several types, checks of all kinds."""

    size: int | list[int] = 3
    rate: float | Literal["auto"] = "auto"
    first: Layer = Layer(width=1)
    layers: list[Layer] = Field(default_factory=list)
    low: int = 1
    high: int = 2
    even: int = 2

    @model_validator(mode="after")
    def _ordered(self) -> MegaConfig:
        if self.low > self.high:
            raise PydanticCustomError("order", "low is above high", {"labels": {"low": "this", "high": "above this"}})
        return self

    @model_validator(mode="after")
    def _even(self) -> MegaConfig:
        if self.even % 2:
            message = "even must be even"
            raise ValueError(message)
        return self


class ColumnlessConfig(TaskConfig):
    """A task that forgot to say its columns."""


class Plugin:
    """A plugin made by hand."""

    @hookimpl
    def specforge_components(self) -> Sequence[Component | Preset]:
        """Return its components and presets."""
        return (
            Component("model", "mega", f"{MODULE}:MegaConfig", f"{MODULE}:build"),
            Component("task", "columnless", f"{MODULE}:ColumnlessConfig", f"{MODULE}:build"),
            Preset("model", "mega_wide", "mega", {"first": {"width": 9, "kind": "gate"}, "low": 2}),
            Preset("model", "mega_wrong", "mega", {"low": "x", "hihg": 3}),
        )


@pytest.fixture
def mega(specs: SpecFolder, monkeypatch: pytest.MonkeyPatch) -> SpecFolder:
    """The folder, with the plugin above beside the built-ins."""
    module = ModuleType(MODULE)
    vars(module).update(MegaConfig=MegaConfig, ColumnlessConfig=ColumnlessConfig)
    monkeypatch.setitem(sys.modules, MODULE, module)
    registry = Registry(
        declared(builtin), "0.1.0", Plugins(lambda: [PluginSource("mega-plugin", "2.0", "mega", Plugin)])
    )
    monkeypatch.setattr(resolve, "load_registry", lambda: registry)
    return specs


def with_model(minimal: str, model: str) -> str:
    """Replace the model of the smallest spec."""
    return minimal.replace('model = "transformer"', f"model = {{ {model} }}")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ('size = "3"', [("`model.size` must be a whole number or an array", "this is a string")]),
        ("size = [1, true]", [("`model.size[1]` must be a whole number", "this is a boolean")]),
        ("rate = true", [('`model.rate` must be a number or "auto"', "this is a boolean")]),
        ('rate = "atuo"', [('`model.rate` must be a number or "auto"', "")]),
        ("first = { width = 0 }", [("`model.first.width` must be at least 1", "")]),
        ("first = { wdth = 1 }", [("unknown key `wdth` in [model.first]", "did you mean `width`?")]),
        ("layers = [{ width = 1 }, { width = 1, kind = 'cnov' }]", [('`model.layers[1].kind` must be "conv" or "gate"', "")]),
        ("layers = [{}]", [("missing key `width` in [model.layers]", "`width` is required")]),
        ("low = 5", [("low is above high", "this")]),
        ("low = 5, high = 4, size = true", [("low is above high", "this"), ("`model.size` must be a whole number or an array", "this is a boolean")]),
        ("low = 5, high = 'x'", [("`model.high` must be a whole number", "this is a string")]),
        ("even = 3", [("`model`: even must be even", "")]),
        ("max_updates = 3", [("unknown key `max_updates` in [model]", "belongs in [train]")]),
    ],
)  # fmt: skip
def test_mistakes_in_words_of_the_spec(
    mega: SpecFolder, minimal: str, values: str, expected: list[tuple[str, str]]
) -> None:
    found = mega.diagnostics(with_model(minimal, f'use = "mega", {values}'))

    assert expected == [(one.message, one.labels[0].text) for one in found]


def test_a_default_that_disagrees_is_told_in_a_note(mega: SpecFolder, minimal: str) -> None:
    (by_default,) = mega.diagnostics(with_model(minimal, 'use = "mega", low = 5'))
    (by_preset,) = mega.diagnostics(with_model(minimal, 'use = "mega_wide", high = 1'))

    assert by_default.notes == ("`high` has its default, from mega-plugin/mega@1: above this",)
    assert by_preset.notes == ("`low` is 2 by preset `mega_wide`: this",)
    assert [label.text for label in by_preset.labels] == ["above this"]
    assert by_preset.labels[0].primary


def test_a_preset_lies_under_the_specs_own_values(mega: SpecFolder, minimal: str) -> None:
    spec = mega.load(with_model(minimal, 'use = "mega-plugin/mega_wide", first.kind = "conv"'))

    part = spec.parts["model",]
    assert part.values() | {"layers": []} == {
        "size": 3,
        "rate": "auto",
        "first": {"width": 9, "kind": "conv"},
        "layers": [],
        "low": 2,
        "high": 2,
        "even": 2,
    }
    assert (part.registered.qualified, part.preset) == ("mega-plugin/mega", "mega_wide")
    assert [one.layer for one in spec.origins["model", "first", "width"]] == ["default", "preset"]
    assert [one.layer for one in spec.origins["model", "first", "kind"]] == ["default", "preset", "spec"]


def test_a_preset_with_wrong_values_is_its_plugins_fault(mega: SpecFolder, minimal: str) -> None:
    found = mega.diagnostics(minimal.replace('"transformer"', '"mega_wrong"'))

    assert [(one.code, str(one.place)) for one in found] == [("SF210", "spec.toml:4:9")] * 2
    assert {one.message for one in found} == {
        "a preset gives `low` a wrong value: `model.low` must be a whole number",
        "a preset gives `hihg` a wrong value: is no key of the component",
    }


def test_a_task_without_columns_is_its_plugins_fault(mega: SpecFolder, minimal: str) -> None:
    text = minimal.replace('{ use = "translation", source = "en", target = "de" }', '"columnless"')

    found = mega.diagnostics(text)

    assert ("SF210", "spec.toml:2:8") in {(one.code, str(one.place)) for one in found}


def test_tables_without_a_name(specs: SpecFolder, minimal: str) -> None:
    assert specs.load(f"{minimal}[lr_scheduler]\nwarmup_updates = 9\n").parts["lr_scheduler",].values() == {
        "warmup_updates": 9,
        "warmup_init_lr": 0.0,
    }
    assert specs.brief(with_model(minimal, "dropout = 0.1")) == [("SF102", "spec.toml:4:9", "`use` is required")]
    assert specs.brief(minimal, "generate.metrics=[{tokenize='13a'}]") == [("SF102", "--set:1:19", "`use` is required")]
    assert specs.brief(with_model(minimal, "use = 3")) == [("SF103", "spec.toml:4:17", "this is a whole number")]
    assert specs.brief(minimal, "optimizer=3") == [("SF103", "--set:1:11", "this is a whole number")]


def test_a_table_without_a_name_waits_for_a_task_that_is_unknown(specs: SpecFolder, minimal: str) -> None:
    found = specs.brief(f"{minimal}[optimizer]\nlr = 1.0\n[criterion]\nuse = 'x'\n", 'task.use="x"')

    assert [place for _, place, _ in found] == ["spec.toml:9:7", "--set:1:10"]


def test_names_may_say_whose_they_are(specs: SpecFolder, minimal: str) -> None:
    spec = specs.load(minimal, 'model="specforge/transformer_tiny"', 'train.best_metric="specforge/bleu"')

    assert spec.parts["model",].preset == "transformer_tiny"
    assert spec.tree["model"] == {"use": "specforge/transformer_tiny", **spec.parts["model",].values()}


def test_a_metric_that_is_none_and_a_search_that_would_do_nothing(specs: SpecFolder, minimal: str) -> None:
    (unknown,) = specs.diagnostics(minimal, "train.best_metric='blue'")
    (idle,) = specs.diagnostics(f"{minimal[:-3]}, valid_search = 'greedy' }}\n")

    assert (unknown.code, unknown.labels[0].text) == ("SF302", "did you mean `bleu`?")
    assert (idle.code, str(idle.place)) == ("SF302", "spec.toml:5:44")
    assert idle.message == "`valid_search` decodes, and `best_metric` looks at the loss only"


def test_limits_of_a_vocabulary_that_is_not_there(specs: SpecFolder, minimal: str) -> None:
    joined = specs.brief(minimal, "preprocess.nwords_target=100")
    same = specs.load(minimal, "preprocess={nwords_source=100, nwords_target=100}")
    apart = specs.load(minimal, "preprocess.nwords_target=100", "preprocess.joined_dictionary=false")

    assert joined == [("SF301", "--set:1:26", "this would do nothing")]
    assert same.preprocess.nwords_target == apart.preprocess.nwords_target == 100


@pytest.mark.parametrize(
    ("section", "value", "words"),
    [
        ("train.validate_every", "500 updates", None),
        ("train.validate_every", "1 epoch", None),
        ("train.validate_every", "0 updates", "must"),
        ("train.validate_every", "5 minutes", "must"),
        ("train.checkpoint_every", "15 minutes", None),
        ("train.checkpoint_every", "1.5 minutes", "must"),
    ],
)
def test_intervals(specs: SpecFolder, minimal: str, section: str, value: str, words: str | None) -> None:
    argument = f'{section}="{value}"'

    if words is None:
        assert specs.load(minimal, argument).origins[tuple(section.split("."))][-1].value == value
    else:
        assert [code for code, _, _ in specs.brief(minimal, argument)] == ["SF103"]


@pytest.mark.parametrize("value", ["1__0 updates", "5_ updates", f"{10**30} updates", "1 epoch"])
def test_what_is_no_interval_is_told_with_the_units_there_are(specs: SpecFolder, minimal: str, value: str) -> None:
    (found,) = specs.diagnostics(minimal, f'train.checkpoint_every="{value}"')

    assert "expected a count of updates or minutes, like" in found.message
