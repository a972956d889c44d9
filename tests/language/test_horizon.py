"""A schedule that aims at the last update has to be told which one that is, before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from specforge import builtin
from specforge.language import resolve
from specforge.language.diagnostics import Diagnostic, SpecError
from specforge.language.plugins import Plugins, PluginSource, declared
from specforge.language.registry import Registry
from specforge.plugin import Component, LRSchedulerConfig, hookimpl

MODULE = "specforge_horizon_fixture"


class AimingConfig(LRSchedulerConfig):
    """A schedule that depends on the end."""

    horizon_free: ClassVar[bool] = False


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with text, and a registry with a schedule named `aiming`."""
    for name in ("train.en", "train.de", "valid.en", "valid.de"):
        (tmp_path / name).write_text("a b\n")
    aiming = Component("lr_scheduler", "aiming", f"{MODULE}:AimingConfig", f"{MODULE}:build")
    plugin = SimpleNamespace(specforge_components=hookimpl(lambda: [aiming]))
    registry = Registry(declared(builtin), "1", Plugins(lambda: [PluginSource("acme", "1", "main", lambda: plugin)]))
    monkeypatch.setitem(sys.modules, MODULE, SimpleNamespace(AimingConfig=AimingConfig))
    monkeypatch.setattr(resolve, "load_registry", lambda: registry)
    return tmp_path


def wrong_with(folder: Path, scheduler: str, train: str) -> tuple[Diagnostic, ...]:
    """Return what is wrong with a spec that is right but for its lr_scheduler and its budget."""
    spec = folder / "spec.toml"
    spec.write_text(
        f"""\
specforge = 1
task = {{ use = "translation", source = "en", target = "de" }}
data = {{ train = "train", valid = "valid" }}
model = "transformer"
lr_scheduler = "{scheduler}"
train = {{ {train} }}
"""
    )
    try:
        resolve.load_spec(spec)
    except SpecError as error:
        return error.diagnostics
    return ()


@pytest.mark.parametrize("train", ["max_updates = 10", "max_updates = 10, max_epochs = 2"])
def test_it_is_enough_to_say_max_updates(folder: Path, train: str) -> None:
    assert () == wrong_with(folder, "aiming", train)


def test_other_schedules_may_end_by_epochs(folder: Path) -> None:
    assert () == wrong_with(folder, "inverse_sqrt", "max_epochs = 2")


def test_an_end_in_epochs_is_no_update_to_aim_at(folder: Path) -> None:
    (found,) = wrong_with(folder, "aiming", "max_epochs = 2")

    assert "SF301" == found.code
    assert [(5, 16), (6, 24)] == [(label.place.line, label.place.column) for label in found.labels]
