"""`specforge plugins`: each with its state, its cause, and what it offers."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from specforge.cli import plugins
from specforge.cli.main import main
from specforge.foundation.errors import ExitCode
from specforge.language.plugins import Plugins, PluginSource
from specforge.language.registry import Registry
from specforge.plugin import Component, Preset, hookimpl

RNN = Component("model", "rnn", "a.b:C", "a.c:build")
METRIC = Component("metric", "wer", "a.b:C", "a.c:build")


def source(distribution: str, *declarations: Component | Preset) -> PluginSource:
    plugin = SimpleNamespace(specforge_components=hookimpl(lambda: declarations))
    return PluginSource(distribution, "2.0", "main", lambda: plugin)


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> object:
        sys.exit("not today")

    sources = [
        source("acme", RNN, METRIC, Preset("model", "rnn_big", of="rnn")),
        PluginSource("bad", "0.1", "main", broken),
        source("hidden", RNN),
    ]
    many = [Component("model", f"m{number}", "a.b:C", "a.c:build") for number in range(9)]
    registry = Registry(many, "1.2.3", Plugins(lambda: sources, frozenset({"acme", "bad", "lost"})))
    monkeypatch.setattr(plugins, "load_registry", lambda: registry)


def test_each_plugin_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert ExitCode.DONE == main(["plugins"])

    assert (
        """\
distribution   version   plugin     state      offers
specforge      1.2.3     built in   built in   9 components, 0 presets; see `specforge components`
acme           2.0       main       loaded     model rnn, rnn_big; metric wer
bad            0.1       main       broken     SystemExit: not today
hidden         2.0       main       blocked    SPECFORGE_PLUGINS does not name it
-              -         lost       missing    SPECFORGE_PLUGINS names it and it is not installed
"""
        == capsys.readouterr().out
    )


def test_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["plugins", "--json"])

    own, acme, bad, hidden, lost = json.loads(capsys.readouterr().out)["plugins"]
    assert ("built in", None, 9) == (own["state"], own["cause"], len(own["components"]))
    assert {
        "distribution": "acme",
        "version": "2.0",
        "entry_point": "main",
        "state": "loaded",
        "cause": None,
        "components": [{"kind": "model", "name": "rnn"}, {"kind": "metric", "name": "wer"}],
        "presets": [{"kind": "model", "name": "rnn_big"}],
    } == acme
    assert ("broken", "SystemExit: not today") == (bad["state"], bad["cause"])
    assert ["blocked", "missing"] == [hidden["state"], lost["state"]]
