"""`specforge components`: all that a spec may name, and every field of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace
from typing import Annotated

import pytest
from pydantic import Field, model_validator

from specforge.cli import components
from specforge.cli.main import main
from specforge.foundation.errors import ExitCode
from specforge.language.plugins import Plugins, PluginSource
from specforge.language.registry import Registry, load_registry
from specforge.plugin import KINDS, Component, ComponentConfig, Kind, Preset, hookimpl, marked


class TinyConfig(ComponentConfig):
    """A very small model.

    Source: none.
    """

    dim: int = Field(default=8, ge=1, description="size of everything")
    name: str = Field(description="what it is called")
    tags: Annotated[list[str], marked(neutral=[])] = Field(default_factory=list, description="words")

    @model_validator(mode="after")
    def _name_is_short(self) -> TinyConfig:
        """`name` is no longer than `dim`.

        More is not shown.
        """
        return self

    @model_validator(mode="after")
    def _undocumented(self) -> TinyConfig:
        return self


class EmptyConfig(ComponentConfig):
    """Nothing to say."""


MODULE = "specforge_components_fixture"
BUILT_IN = (
    Component("model", "tiny", f"{MODULE}:TinyConfig", f"{MODULE}:build", 3, "a very small model"),
    Component("metric", "nothing", f"{MODULE}:EmptyConfig", f"{MODULE}:build"),
    Preset("model", "tiny_large", "tiny", {"dim": 99, "tags": []}, "the largest of the small"),
)


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    @hookimpl
    def specforge_components() -> Sequence[Component | Preset]:
        return [
            Preset("model", "tiny_odd", "specforge/tiny", {"dim": 7}),
            Preset("model", "orphan", "gone/rnn"),
        ]

    def fails() -> object:
        message = "no \x1b[31m way"
        raise ImportError(message)

    module = SimpleNamespace(TinyConfig=TinyConfig, EmptyConfig=EmptyConfig)
    monkeypatch.setitem(sys.modules, MODULE, module)
    sources = [
        PluginSource("acme", "2.0", "main", lambda: SimpleNamespace(specforge_components=specforge_components)),
        PluginSource("broken-dist", "0.1", "bad", fails),
    ]
    registry = Registry(BUILT_IN, "1.2.3", Plugins(lambda: sources))
    monkeypatch.setattr(components, "load_registry", lambda: registry)


def test_all_are_listed_presets_below_their_component(capsys: pytest.CaptureFixture[str]) -> None:
    assert ExitCode.DONE == main(["components"])

    shown = capsys.readouterr()
    assert [
        ["kind", "name", "distribution", "summary"],
        ["model", "tiny", "specforge", "a very small model"],
        ["model", "tiny_large", "specforge", "preset of tiny: the largest of the small"],
        ["model", "tiny_odd", "acme", "preset of tiny"],
        ["model", "orphan", "acme", "preset of gone/rnn, which is not installed"],
        ["metric", "nothing", "specforge"],
    ] == [line.split(maxsplit=3) for line in shown.out.removesuffix("\n").split("\n")]
    assert "warning: plugin `bad` of broken-dist is broken: ImportError: no \\x1b[31m way\n" == shown.err


def test_one_kind_is_listed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    main(["components", "metric"])

    assert ["kind", "metric"] == [line.split()[0] for line in capsys.readouterr().out.removesuffix("\n").split("\n")]


def test_a_component_is_described_with_fields_and_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert ExitCode.DONE == main(["components", "model", "tiny"])

    assert (
        """\
model tiny: a very small model
built in, version 1.2.3; in keys it is specforge/tiny@3
a spec writes `use = "tiny"`, or `"specforge/tiny"` to say whose

A very small model.

Source: none.

field   type              range   default    description
dim     integer           >= 1    8          size of everything
name    string                    required   what it is called
tags    array of string           []         words (not in keys while [])

across fields
  `name` is no longer than `dim`.

presets, and what they change
  tiny_large   specforge   dim = 99; it names the defaults of tags
  tiny_odd     acme        dim = 7
"""
        == capsys.readouterr().out
    )


def test_a_tracker_is_in_no_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.undo()  # the built-in components

    assert ExitCode.DONE == main(["components", "tracker", "tensorboard"])

    assert "; in no key, it changes no result\n" in capsys.readouterr().out


def test_a_preset_is_described_by_what_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    main(["components", "model", "acme/tiny_odd"])

    lines = capsys.readouterr().out.split("\n")
    assert "from acme, version 2.0; a preset of specforge/tiny: in keys its values count, not its name" == lines[1]
    assert 'a spec writes `use = "tiny_odd"`, or `"acme/tiny_odd"` to say whose' == lines[2]
    assert "field   type              range   default    tiny_odd   description" in lines
    assert "dim     integer           >= 1    8          7          size of everything" in lines
    assert "name    string                    required   required   what it is called" in lines


def test_a_component_without_fields_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    main(["components", "metric", "nothing"])

    assert capsys.readouterr().out.endswith("Nothing to say.\n\nIt has no fields.\n")


def test_the_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["components", "model", "--json"])

    listed = json.loads(capsys.readouterr().out)
    assert [
        {
            "kind": "model",
            "name": "tiny",
            "distribution": "specforge",
            "distribution_version": "1.2.3",
            "version": 3,
            "summary": "a very small model",
        }
    ] == listed["components"]
    assert {
        "kind": "model",
        "name": "tiny_large",
        "distribution": "specforge",
        "distribution_version": "1.2.3",
        "component": "specforge/tiny",
        "values": {"dim": 99, "tags": []},
        "summary": "the largest of the small",
    } == listed["presets"][0]


@pytest.mark.parametrize(("name", "preset"), [("tiny", None), ("tiny_large", "tiny_large")])
def test_the_description_as_json(capsys: pytest.CaptureFixture[str], name: str, preset: str | None) -> None:
    main(["components", "model", name, "--json"])

    described = json.loads(capsys.readouterr().out)
    assert "tiny" == described["component"]["name"]
    assert preset == (described["preset"] and described["preset"]["name"])
    assert ["tiny_large", "tiny_odd"] == [one["name"] for one in described["presets"]]
    assert ["`name` is no longer than `dim`."] == described["rules"]
    assert {"dim": 99} == described["presets"][0]["changes"]
    assert {"value": []} == described["fields"][2]["neutral"]
    assert {
        "name": "dim",
        "type": "integer",
        "range": ">= 1",
        "required": False,
        "default": 8,
        "description": "size of everything",
        "identity": True,
        "continues": False,
        "neutral": None,
        "effective": 8 if preset is None else 99,
    } == described["fields"][0]


def test_an_unknown_name_is_a_wrong_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert ExitCode.WRONG_INPUT == main(["components", "model", "tinny"])

    shown = capsys.readouterr()
    assert "" == shown.out
    assert "error[SF201]: unknown model `tinny`" in shown.err
    assert "did you mean `tiny`?" in shown.err


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("modell", "did you mean `model`?"),
        ("tiny", "did you mean `specforge components model tiny`?"),
        ("acme/tiny_odd", "did you mean `specforge components model acme/tiny_odd`?"),
        ("\x07", "the kinds are task, tokenizer,"),
    ],
)
def test_an_unknown_kind_is_a_wrong_input(capsys: pytest.CaptureFixture[str], typed: str, hint: str) -> None:
    assert ExitCode.WRONG_INPUT == main(["components", typed])

    shown = capsys.readouterr().err
    assert "error[SF144]: there is no kind of component" in shown
    assert hint in shown
    assert "\x07" not in shown


def test_a_task_names_what_it_takes_by_default() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "specforge", "components", "task", "translation"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert "where a spec says nothing, the task takes\n  tokenizer      sentencepiece\n" in shown


@pytest.mark.parametrize("kind", KINDS)
def test_every_installed_component_has_a_page(kind: Kind) -> None:
    registry = load_registry()
    for registered in registry.components(kind):
        with redirect_stdout(StringIO()) as shown:
            components._describe(registry, kind, registered.qualified, as_json=False)
        assert shown.getvalue().startswith(f"{kind} {registered.component.name}: ")


def test_torch_and_rich_stay_out() -> None:
    program = (
        "import sys; from specforge.cli.main import main; main(['components']); main(['components', 'search', 'beam']);"
        "print([name for name in ('torch', 'rich', 'numpy') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.endswith("\n[]\n")
