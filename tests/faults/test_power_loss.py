"""The power fails after any operation: what comes back is the state before or after, whole, and training goes on from it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from disk import Recorder
from promises import PROMISES, broken, damage
from saves import Trained, power_losses, recorded, trained, trained_on

_IMAGES = 1_000
_TRAINED_ON = 40


@pytest.mark.parametrize("name", PROMISES)
def test_a_promise_holds_whenever_the_power_fails(name: str, tmp_path: Path) -> None:
    assert broken(PROMISES[name], tmp_path) is None


def test_all_damage_is_noticed(tmp_path: Path) -> None:
    assert [] == damage(tmp_path)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    return recorded(tmp_path_factory.mktemp("recorded") / "work")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("undisturbed") / "work")


def test_there_is_always_a_whole_checkpoint(disk: Recorder, tmp_path: Path) -> None:
    each = _IMAGES // len(disk.moments) + 1
    assert len(disk.moments) > 45, "too few operations"
    for wrong in power_losses(disk, tmp_path, random.Random(2), each):
        assert wrong is None


def test_training_goes_on_from_what_is_left(disk: Recorder, undisturbed: Trained, tmp_path: Path) -> None:
    choices = random.Random(3)
    for attempt in range(_TRAINED_ON):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        assert trained_on(disk, undisturbed, folder, choices) is None
