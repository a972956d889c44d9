"""The plugin loader: whatever a plugin does, it ends as a record; what is not allowed is never imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TypeAlias

import pytest

from specforge.language.plugins import (
    BrokenPlugin,
    LoadedPlugin,
    Plugins,
    PluginSource,
    allowed_plugins,
    load_plugin,
    normalised,
)
from specforge.plugin import Component, Preset, hookimpl

Source: TypeAlias = PluginSource


def component(name: str = "rnn", **changes: object) -> Component:
    values: dict[str, object] = {"kind": "model", "name": name, "config": "a.b:C", "factory": "a.c:build", **changes}
    return Component(**values)  # type: ignore[arg-type]  # wrong types are what some tests are about


def offering(*declarations: object) -> Callable[[], object]:
    """Return what loads a plugin whose hook returns these declarations."""

    @hookimpl
    def specforge_components() -> Sequence[object]:
        return declarations

    return lambda: SimpleNamespace(specforge_components=specforge_components)


def source(load: Callable[[], object], distribution: str = "acme", entry_point: str = "main") -> Source:
    return PluginSource(distribution, "1.0", entry_point, load)


def raising(error: BaseException) -> Callable[[], object]:
    def load() -> object:
        raise error

    return load


def cause_of(load: Callable[[], object]) -> str:
    plugin = load_plugin(source(load))
    assert isinstance(plugin, BrokenPlugin)
    return plugin.cause


def test_declarations_come_in_the_order_of_kinds_and_names() -> None:
    metric, b, a = component(kind="metric", name="a"), component("b"), component("a")

    plugin = load_plugin(source(offering(metric, b, a)))

    assert isinstance(plugin, LoadedPlugin)
    assert (a, b, metric) == plugin.declarations


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ImportError("no module named torchx"), "ImportError: no module named torchx"),
        (SystemExit(3), "SystemExit: 3"),
        (GeneratorExit(), "GeneratorExit"),
        (ValueError("two\nlines \x1b[31m"), "ValueError: two lines \\x1b[31m"),
    ],
)
def test_whatever_a_plugin_raises_at_import_is_a_record(error: BaseException, cause: str) -> None:
    assert cause == cause_of(raising(error))


def test_ctrl_c_while_a_plugin_loads_is_the_users() -> None:
    with pytest.raises(KeyboardInterrupt):
        load_plugin(source(raising(KeyboardInterrupt())))


@pytest.mark.parametrize(
    ("declarations", "cause"),
    [
        (["model"], "`specforge_components` returned something of type str among its components"),
        ([component("x"), component("x")], "it offers the model `x` twice"),
        ([component("x"), Preset("model", "x", of="x")], "it offers the model `x` twice"),
        ([component(kind="loss")], "Component 'rnn': kind 'loss' is none of task, tokenizer, model"),
        ([component("a/b")], "Component 'a/b': a name is made of letters"),
        ([component("")], "Component '': a name is made of letters"),
        ([component(config="a.b")], "config 'a.b' is not of the form `package.module:name`"),
        ([component(factory="os:system('x')")], "is not of the form `package.module:name`"),
        ([component(version=0)], "the version is a whole number from 1"),
        ([component(version=True)], "the version is a whole number from 1"),
        ([component(summary="two\nlines")], "the summary is one line"),
        ([Preset("model", "p", of="")], "`of` names a component"),
        ([Preset("model", "p", of="rnn")], "it has no model `rnn`"),
        ([component(), Preset("search", "p", of="rnn")], "it has no search `rnn`"),
        ([component(), Preset("model", "p", of="rnn", values={"dim": float("nan")})], "the values are not JSON"),
        ([component(), Preset("model", "p", of="rnn", values={"dim": object()})], "the values are not JSON"),  # type: ignore[dict-item]
        ([component(), Preset("model", "p", of="rnn", values={3: 4})], "the values are a table of fields"),  # type: ignore[dict-item]
    ],
)
def test_a_wrong_declaration_breaks_the_plugin(declarations: list[object], cause: str) -> None:
    assert cause in cause_of(offering(*declarations))


@pytest.mark.parametrize("answer", ["model", iter(()), 3, {"model": component()}])
def test_the_hook_returns_a_list_or_tuple(answer: object) -> None:
    @hookimpl
    def specforge_components() -> object:
        return answer

    cause = cause_of(lambda: SimpleNamespace(specforge_components=specforge_components))

    assert f"returned {type(answer).__name__}, not a list or tuple" in cause


def test_a_module_without_the_hook_is_broken() -> None:
    assert "it has no `specforge_components`" in cause_of(SimpleNamespace)


def test_a_hook_that_raises_is_broken() -> None:
    @hookimpl
    def specforge_components() -> Sequence[Component]:
        message = "no licence"
        raise PermissionError(message)

    assert "PermissionError: no licence" == cause_of(lambda: SimpleNamespace(specforge_components=specforge_components))


def test_a_misspelt_hook_is_broken() -> None:
    @hookimpl
    def specforge_component() -> Sequence[Component]:
        return [component()]

    plugin = SimpleNamespace(specforge_component=specforge_component)

    assert "unknown hook 'specforge_component'" in cause_of(lambda: plugin)


def test_a_hook_with_an_argument_we_do_not_pass_is_broken() -> None:
    @hookimpl
    def specforge_components(version: int) -> Sequence[Component]:
        return [component(version=version)]

    plugin = SimpleNamespace(specforge_components=specforge_components)

    assert "Argument(s) {'version'}" in cause_of(lambda: plugin)


def test_nobody_else_is_called_specforge() -> None:
    plugin = load_plugin(source(offering(component()), distribution="specforge"))

    assert isinstance(plugin, BrokenPlugin)
    assert "stands for the built-in components" in plugin.cause


def test_what_a_plugin_prints_stays_off_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    def load() -> object:
        print("hello from acme")  # noqa: T201  # the fault under test
        return offering(component())()

    load_plugin(source(load))

    assert ("", "hello from acme\n") == capsys.readouterr()


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [
        ({}, None),
        ({"SPECFORGE_PLUGINS": ""}, set()),
        ({"SPECFORGE_PLUGINS": " , "}, set()),
        ({"SPECFORGE_PLUGINS": "Acme_Models, focal"}, {"acme-models", "focal"}),
    ],
)
def test_the_variable_limits_plugins(environment: dict[str, str], allowed: set[str] | None) -> None:
    assert allowed == allowed_plugins(environment)


def test_names_of_distributions_compare_as_packaging_tools_do() -> None:
    assert "my-models-2" == normalised("My__Models.2")


class Watched:
    """A plugin that knows whether it was imported; a raise would only be recorded."""

    def __init__(self) -> None:
        self.imported = False

    def __call__(self) -> object:
        self.imported = True
        return offering(component())()


@pytest.mark.parametrize("allowed", [{"focal"}, {"specforge-focal"}])
def test_a_plugin_is_allowed_by_entry_point_or_distribution_and_no_other_is_imported(allowed: set[str]) -> None:
    watched = Watched()
    named, other = source(offering(component("focal")), "specforge-focal", "focal"), source(watched, "acme", "main")
    plugins = Plugins(lambda: [other, named], frozenset(allowed))

    loaded = plugins.load()
    records = plugins.records()

    assert [named] == [plugin.source for plugin in loaded if isinstance(plugin, LoadedPlugin)]
    assert (other,) == plugins.blocked()
    assert [("acme", "blocked"), ("specforge-focal", "loaded")] == [(one.distribution, one.state) for one in records]
    assert not watched.imported


def test_a_name_in_the_variable_that_nothing_has_is_listed_as_missing() -> None:
    plugins = Plugins(list, frozenset({"focl"}))

    (record,) = plugins.records()

    assert ("focl", "missing") == (record.entry_point, record.state)


def test_one_distribution_is_loaded_without_the_others() -> None:
    watched = Watched()
    wanted = source(offering(component()), "acme")

    (loaded,) = Plugins(lambda: [wanted, source(watched, "zeta")]).load("acme")

    assert isinstance(loaded, LoadedPlugin)
    assert wanted == loaded.source
    assert not watched.imported


def test_a_plugin_is_loaded_once() -> None:
    calls = []

    def load() -> object:
        calls.append(1)
        return offering(component())()

    plugins = Plugins(lambda: [source(load)])
    plugins.load()
    plugins.load("acme")
    plugins.records()

    assert [1] == calls


def test_two_plugins_of_one_distribution_may_not_share_a_name() -> None:
    first = source(offering(component("x")), "acme", "one")
    second = source(offering(component("x")), "acme", "two")

    records = Plugins(lambda: [first, second]).records()

    assert ["loaded", "broken"] == [record.state for record in records]
    assert "it offers the model `x`, as its sister `one` does" == records[1].cause


def test_records_say_what_a_plugin_offers() -> None:
    (record,) = Plugins(
        lambda: [source(offering(component("x"), Preset("model", "x_small", of="x"), component(kind="metric")))]
    ).records()

    assert (("model", "x"), ("metric", "rnn")) == record.components
    assert (("model", "x_small"),) == record.presets
