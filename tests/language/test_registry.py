"""Names: built-ins first and without imports, plugins when asked for, ambiguity only where it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from specforge.foundation.errors import ExitCode, RefusedError, StepFailedError
from specforge.language.plugins import Plugins, PluginSource
from specforge.language.registry import (
    AmbiguousComponentError,
    RegisteredPreset,
    Registry,
    UnknownComponentError,
    config_class,
    factory,
    load_registry,
)
from specforge.language.spec import Registered
from specforge.plugin import KINDS, Component, ComponentConfig, Kind, LRSchedulerConfig, Preset, hookimpl


class PlainConfig(ComponentConfig):
    """A config that is no scheduler's."""


HERE = "specforge_registry_fixtures"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(PlainConfig=PlainConfig, LRSchedulerConfig=LRSchedulerConfig, build=dict, number=3)
    monkeypatch.setitem(sys.modules, HERE, module)


def component(name: str, kind: Kind = "model", config: str = "PlainConfig", built: str = "build") -> Component:
    return Component(kind, name, f"{HERE}:{config}", f"{HERE}:{built}")


def source(distribution: str, *declarations: Component | Preset) -> PluginSource:
    @hookimpl
    def specforge_components() -> Sequence[Component | Preset]:
        return declarations

    return PluginSource(
        distribution, "1.0", distribution, lambda: SimpleNamespace(specforge_components=specforge_components)
    )


def broken(distribution: str) -> PluginSource:
    def load() -> object:
        message = "no module named gone"
        raise ImportError(message)

    return PluginSource(distribution, "2.0", "main", load)


BUILT_IN = (
    component("transformer"),
    component("bleu", "metric"),
    Preset("model", "transformer_tiny", of="transformer"),
)


def registry(*sources: PluginSource, allowed: frozenset[str] | None = None) -> Registry:
    return Registry(BUILT_IN, "1.2.3", Plugins(lambda: sources, allowed))


def never() -> Sequence[PluginSource]:
    message = "plugins were looked for"
    raise AssertionError(message)


def test_a_built_in_name_needs_no_plugin() -> None:
    match = Registry(BUILT_IN, "1.2.3", Plugins(never)).find("model", "transformer")

    assert ("specforge/transformer@1", "1.2.3", None) == (
        match.registered.identity,
        match.registered.distribution_version,
        match.preset,
    )


@pytest.mark.parametrize("name", ["transformer_tiny", "specforge/transformer_tiny"])
def test_a_preset_stands_for_its_component(name: str) -> None:
    match = Registry(BUILT_IN, "1.2.3", Plugins(never)).find("model", name)

    assert "specforge/transformer" == match.registered.qualified
    assert BUILT_IN[2] == match.preset


@pytest.mark.parametrize("name", ["rnn", "acme/rnn", "Acme/rnn"])
def test_a_plugins_name_is_found(name: str) -> None:
    assert "acme/rnn" == registry(source("acme", component("rnn"))).find("model", name).registered.qualified


def test_a_name_belongs_to_its_kind() -> None:
    with pytest.raises(UnknownComponentError) as caught:
        registry().find("model", "bleu")

    assert ("`bleu` is the name of a component of kind metric",) == caught.value.notes


def test_a_qualified_name_loads_its_own_distribution_only() -> None:
    imported = []
    zeta = PluginSource("zeta", "1", "main", lambda: imported.append("zeta"))

    found = registry(source("acme", component("rnn")), zeta).find("model", "acme/rnn")

    assert "acme" == found.registered.distribution
    assert [] == imported


def test_two_plugins_with_one_name_are_fine_until_it_is_used() -> None:
    both = registry(source("acme", component("rnn")), source("zeta", component("rnn"), component("gru")))

    assert "zeta" == both.find("model", "gru").registered.distribution
    assert "zeta" == both.find("model", "zeta/rnn").registered.distribution
    with pytest.raises(AmbiguousComponentError) as caught:
        both.find("model", "rnn")
    assert ("acme/rnn", "zeta/rnn") == caught.value.candidates
    assert 'write `use = "acme/rnn"`' == caught.value.help
    assert ExitCode.WRONG_INPUT == caught.value.exit_code


def test_a_built_in_name_cannot_be_taken() -> None:
    thief = registry(source("acme", component("transformer")))

    assert "specforge" == thief.find("model", "transformer").registered.distribution
    assert "acme" == thief.find("model", "acme/transformer").registered.distribution


def test_a_preset_may_be_for_a_component_of_another_distribution() -> None:
    found = registry(source("acme", Preset("model", "huge", of="specforge/transformer", values={"dim": 9}))).find(
        "model", "huge"
    )

    assert "specforge/transformer" == found.registered.qualified
    assert found.preset is not None
    assert {"dim": 9} == found.preset.values


def test_an_unqualified_preset_means_the_component_beside_it() -> None:
    own = source("acme", component("transformer"), Preset("model", "huge", of="transformer"))

    assert "acme/transformer" == registry(own).find("model", "huge").registered.qualified


@pytest.mark.parametrize("of", ["gone/rnn", "specforge/transformer_tiny"])
def test_a_preset_of_no_component_is_unknown(of: str) -> None:
    with pytest.raises(UnknownComponentError) as caught:
        registry(source("acme", Preset("model", "huge", of=of))).find("model", "huge")

    assert of == caught.value.name


def test_an_unknown_name_says_what_might_have_been_meant() -> None:
    all_of_it = registry(
        source("acme", component("rnn")), broken("gone"), source("zeta"), allowed=frozenset({"acme", "gone"})
    )

    with pytest.raises(UnknownComponentError) as caught:
        all_of_it.find("model", "transfromer")

    error = caught.value
    assert "unknown model `transfromer`" == error.message
    assert ("rnn", "transformer", "transformer_tiny") == error.known
    assert "transformer" == error.suggestion
    assert "did you mean `transformer`?" == error.help
    assert (
        "plugin `main` of gone 2.0 is broken: ImportError: no module named gone",
        "SPECFORGE_PLUGINS keeps out zeta",
    ) == error.notes


def test_an_unknown_name_near_nothing_lists_all_names() -> None:
    with pytest.raises(UnknownComponentError) as caught:
        registry().find("model", "q\x1b[31m")

    assert "unknown model `q\\x1b[31m`" == caught.value.message
    assert "known are transformer, transformer_tiny" == caught.value.help


def test_an_unknown_qualified_name_is_compared_with_qualified_names() -> None:
    with pytest.raises(UnknownComponentError) as caught:
        registry().find("model", "specforg/transformer")

    assert "specforge/transformer" == caught.value.suggestion


@given(st.permutations(["acme", "mid", "zeta"]))
def test_lists_do_not_depend_on_the_order_of_discovery(order: list[str]) -> None:
    listed = registry(*(source(name, component("z"), component("a"), Preset("model", "p", of="a")) for name in order))

    assert [
        "specforge/transformer",
        "specforge/bleu",
        *("acme/a", "acme/z", "mid/a", "mid/z", "zeta/a", "zeta/z"),
    ] == [one.qualified for one in listed.components()]
    assert ["specforge/transformer_tiny", "acme/p", "mid/p", "zeta/p"] == [one.qualified for one in listed.presets()]
    assert ["specforge/bleu"] == [one.qualified for one in listed.components("metric")]
    assert () == listed.presets("metric")


def test_the_built_ins_are_the_first_plugin_record() -> None:
    own, acme = registry(source("acme", component("rnn"))).plugins()

    assert ("specforge", "1.2.3", "built in") == (own.distribution, own.version, own.state)
    assert (("model", "transformer"), ("metric", "bleu")) == own.components
    assert ("acme", "loaded") == (acme.distribution, acme.state)


def registered(item: Component) -> Registered:
    return Registered("acme", "1.0", item)


def test_a_config_class_is_imported_from_its_string() -> None:
    assert PlainConfig is config_class(registered(component("rnn")))


@pytest.mark.parametrize(
    ("item", "note"),
    [
        (component("rnn", config="gone"), "AttributeError: "),
        (component("rnn", config="number"), "`specforge_registry_fixtures:number` is not a ComponentConfig"),
        (component("rnn", "lr_scheduler"), "`specforge_registry_fixtures:PlainConfig` is not a LRSchedulerConfig"),
        (Component("model", "rnn", "specforge_no_such:Config", "a:b"), "ModuleNotFoundError: "),
    ],
)
def test_a_config_that_is_none_is_the_plugins_fault(item: Component, note: str) -> None:
    with pytest.raises(RefusedError) as caught:
        config_class(registered(item))

    assert f"the {item.kind} `acme/rnn` cannot be loaded" == caught.value.message
    assert caught.value.notes[0].startswith(note)
    assert "this is a fault of acme 1.0, tell its authors" == caught.value.help


def test_a_factory_is_imported_from_its_string() -> None:
    assert dict is factory(registered(component("rnn")))


@pytest.mark.parametrize("built", ["gone", "number"])
def test_a_factory_that_is_none_fails_the_step(built: str) -> None:
    with pytest.raises(StepFailedError, match="the model `acme/rnn` cannot be loaded"):
        factory(registered(component("rnn", built=built)))


# --- the built-ins themselves


OWN = [item for item in load_registry().components() if item.distribution == "specforge"]


@pytest.mark.parametrize("item", OWN, ids=lambda item: item.qualified)
def test_every_built_in_has_its_config_and_factory(item: Registered) -> None:
    assert config_class(item).__doc__
    assert callable(factory(item))
    assert item.component.summary


@pytest.mark.parametrize("named", load_registry().presets(), ids=lambda named: str(named.qualified))
def test_every_preset_fits_its_component(named: RegisteredPreset) -> None:
    match = load_registry().find(named.preset.kind, named.qualified)
    assert match.preset is not None

    values: dict[str, JsonValue] = dict(match.preset.values)
    config = config_class(match.registered).model_validate_json(json.dumps(values))

    assert set(values) <= set(type(config).model_fields)


# --- in a fresh process, with distributions on the path


def distribution(folder: Path, name: str, module: str, source_text: str) -> None:
    """Lay a distribution out as an installer does: a module and its metadata."""
    (folder / f"{module}.py").write_text(dedent(source_text))
    info = folder / f"{module}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(f"[specforge]\nmain = {module}\n")


ACME = """
    from specforge.plugin import Component, hookimpl

    @hookimpl
    def specforge_components():
        return [Component("model", "acme_rnn", "acme_models.config:Config", "acme_models.model:build")]
"""


def python(folder: Path, program: str, plugins: str | None = None) -> str:
    environment = {"PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}"}
    if plugins is not None:
        environment["SPECFORGE_PLUGINS"] = plugins
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)], env=environment, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


LIST = """
    import sys
    from specforge.language.registry import load_registry
    for record in load_registry().plugins():
        if record.distribution in {"acme-models", "bad-models", "odd-models"}:
            print(record.distribution, record.version, record.state, record.cause)
    print("torch" in sys.modules, "acme_models" in sys.modules)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    distribution(tmp_path, "Acme_Models", "acme_models", ACME)
    distribution(tmp_path, "bad-models", "bad_models", "raise SystemExit('not today')")
    distribution(tmp_path, "odd-models", "odd_models", ACME)
    (tmp_path / "odd_models-1.5.dist-info" / "entry_points.txt").write_text("[specforge]\nmain = no module\n")
    return tmp_path


def test_installed_plugins_are_found_and_broken_ones_recorded(site: Path) -> None:
    lines = python(site, LIST).splitlines()

    assert "acme-models 1.5 loaded None" == lines[0]
    assert "bad-models 1.5 broken SystemExit: not today" == lines[1]
    assert lines[2].startswith("odd-models 1.5 broken ")
    assert "False True" == lines[3]


def test_the_variable_blocks_before_import(site: Path) -> None:
    lines = python(site, LIST, plugins="bad-models").splitlines()

    assert "acme-models 1.5 blocked SPECFORGE_PLUGINS does not name it" == lines[0]
    assert "False False" == lines[-1]


def test_a_built_in_name_imports_no_plugin_and_a_strangers_does(site: Path) -> None:
    program = """
        import sys
        from specforge.language.registry import load_registry
        registry = load_registry()
        names = []
        for name in ("transformer", "specforge/fconv", "acme_rnn"):
            registry.find("model", name)
            names.append("acme_models" in sys.modules)
        print(names)
    """

    assert "[False, False, True]" == python(site, program)


def test_every_config_of_the_built_ins_loads_without_torch(tmp_path: Path) -> None:
    program = """
        import sys
        from specforge.language.registry import config_class, load_registry
        for registered in load_registry().components():
            config_class(registered).model_json_schema()
        print([name for name in ("torch", "numpy", "sacrebleu", "sentencepiece") if name in sys.modules])
    """

    assert "[]" == python(tmp_path, program, plugins="")


def test_all_kinds_have_a_built_in() -> None:
    assert set(KINDS) == {item.component.kind for item in OWN}
