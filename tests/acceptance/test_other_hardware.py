"""A training that is moved in mid-epoch: to more devices, to weights in parts, and back, as a user does it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from digits import specforge
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.training.weights import read_weights

_WORDS = ("eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben")
# An epoch of 15 sentences has four updates of three or four micro-batches each.
SPEC = (
    SMALL_SPEC.replace("encoder_layers = 1", "dropout = 0.2\nencoder_layers = 1").replace(
        "max_updates = 4", "max_updates = 10"
    )
    + """
[optimizer]
use = "adam"
lr = 1e-2

[lr_scheduler]
use = "fixed"

[run]
log_every = 1
max_tokens = 6
"""
)


def _losses(store: Path) -> list[float]:
    """Return the losses of all updates, over all attempts."""
    lines = (store / "runs" / "small" / "logs" / "train.jsonl").read_text().split("\n")
    return [json.loads(line)["loss"] for line in lines if '"event": "train"' in line]


def _train(folder: Path, store: str, *assignments: str) -> str:
    wanted = [word for assignment in assignments for word in ("--set", assignment)]
    result = specforge("run", "small.toml", "--until", "train", "--store", store, *wanted, cwd=folder)
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.mark.slow
def test_a_training_is_moved_in_mid_epoch(small: SmallExperiment) -> None:
    small.write_text("train", [(f"{a} {b}", f"{b} {a}") for a in _WORDS[:3] for b in _WORDS[2:]])
    small.write_spec(SPEC)
    _train(small.folder, "unchanged")
    said = [
        _train(
            small.folder,
            "moved",
            f"train.max_updates={updates}",
            f"run.devices={devices}",
            f'run.strategy="{strategy}"',
        )
        for updates, devices, strategy in (
            (1, 1, "ddp"),
            (3, 2, "fsdp"),
            (6, 4, "fsdp"),
            (7, 2, "ddp"),
            (10, 1, "fsdp"),
        )
    ]

    expected, found = (_losses(small.folder / store) for store in ("unchanged", "moved"))
    assert 10 == len(expected)
    assert expected == pytest.approx(found, rel=1e-5)
    assert all(
        f"training goes on after {updates} updates" in text
        for updates, text in zip((1, 3, 6, 7), said[1:], strict=True)
    )
    assert "other devices, strategy than before" in said[1]
    weights = [
        read_weights(next((small.folder / store / "objects" / "train").glob("*/last/*.safetensors")))
        for store in ("unchanged", "moved")
    ]
    assert weights[0].keys() == weights[1].keys()
    assert {name: tensor.shape for name, tensor in weights[0].items()} == {
        name: tensor.shape for name, tensor in weights[1].items()
    }
