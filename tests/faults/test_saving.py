"""Every operation of saving goes wrong once: before, after, with a full disk, with an error; nothing is lost or claimed."""

from __future__ import annotations

from pathlib import Path

import pytest
from operations import FAULTS, Fault, watched
from saves import IN_BACKGROUND, Counter, Trained, copied, halfway, sweep, trained


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("half") / "work"
    halfway(work)
    return work


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("undisturbed") / "work")


def test_the_layer_sees_what_a_save_does(half: Path, tmp_path: Path) -> None:
    counter = Counter()
    work = copied(half, tmp_path / "work")
    with watched(work, counter):
        trained(work)

    kinds = {operation.kind for operation in counter.operations}
    assert {"create", "write", "fsync", "rename", "mkdir", "unlink", "rmdir"} <= kinds
    synced = {Path(operation.path).name for operation in counter.operations if operation.kind == "fsync"}
    assert {"model.safetensors", "optimizer.safetensors", "state.json", "manifest.json", "checkpoints"} <= synced


@pytest.mark.parametrize("fault", FAULTS)
def test_every_operation_goes_wrong_once(fault: Fault, half: Path, undisturbed: Trained, tmp_path: Path) -> None:
    points = 0
    for operation, weakness in sweep(half, undisturbed, tmp_path, fault):
        points += 1
        assert weakness is None, operation

    assert points >= (10 if fault == "short write" else 45), "too few operations: does the layer see them?"


@pytest.mark.parametrize("fault", FAULTS)
def test_operations_in_the_background_go_wrong(fault: Fault, half: Path, undisturbed: Trained, tmp_path: Path) -> None:
    """Training goes on beside them, and still nothing is lost or claimed."""
    points = 0
    for operation, weakness in sweep(half, undisturbed, tmp_path, fault, IN_BACKGROUND, stride=13):
        points += 1
        assert weakness is None, operation

    assert points >= (1 if fault == "short write" else 6), "too few operations: does the layer see them?"
