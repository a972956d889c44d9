"""Nothing waits for the device between two lines of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import Family, Recipe, Recorder, tiny_trainer
from torch.utils._python_dispatch import TorchDispatchMode

from specforge.training.parallel.process import Parallel
from specforge.training.precision import Precision
from specforge.training.settings import Every
from specforge.training.updater import Updater

_NEVER = Every(1_000, "update")
_RECIPE = Recipe(
    max_updates=20, log_every=5, clip_norm=0.1, validate_every=_NEVER, checkpoint_every=_NEVER
)  # not a real model: those look at lengths to save work, on a processor and only there


class _Readings(TorchDispatchMode):
    """Counts where a program asks a tensor for its value: `item`, `tolist` and truth all come down to one operation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_update_reads_nothing_and_a_line_reads_once(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("specforge.training.trainer.reading_is_free", lambda _: False)
    apply, read = Updater.apply, Updater.read
    in_updates: list[int] = []
    lines: list[int] = []

    def watched_apply(updater: Updater, *arguments: Any) -> None:
        with _Readings() as readings:
            apply(updater, *arguments)
        in_updates.append(readings.count)

    def watched_read(updater: Updater) -> Any:
        lines.append(len(in_updates))
        return read(updater)

    monkeypatch.setattr(Updater, "apply", watched_apply)
    monkeypatch.setattr(Updater, "read", watched_read)
    recorder = Recorder()
    tiny_trainer(replace(_RECIPE, precision=precision), tmp_path, recorder)[0].train()  # type: ignore[arg-type]

    assert [0] * 20 == in_updates
    assert [5, 10, 15, 20] == lines == [line["updates"] for line in recorder.named("train")]


def test_the_lines_are_those_of_a_training_that_looks_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, later = Recorder(), Recorder()
    tiny_trainer(_RECIPE, tmp_path / "at-once", at_once)[0].train()
    monkeypatch.setattr("specforge.training.trainer.reading_is_free", lambda _: False)
    tiny_trainer(_RECIPE, tmp_path / "later", later)[0].train()

    clock = {"seconds", "tokens_per_second", "data_wait_percent"}
    expected = [{name: value for name, value in line.items() if name not in clock} for line in at_once.named("train")]
    found = [{name: value for name, value in line.items() if name not in clock} for line in later.named("train")]
    assert 4 == len(expected)
    for one, other in zip(expected, found, strict=True):
        assert pytest.approx(one, rel=1e-12) == other


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("family", ["transformer", "transformer_lm", "transformer_classifier"])
def test_no_update_waits_for_a_gpu(family: Family, precision: Precision, tmp_path: Path) -> None:
    recipe = replace(_RECIPE, family=family, precision=precision, embed_dim=16)  # wide enough to go without padding
    trainer, _ = tiny_trainer(recipe, tmp_path, parallel=Parallel(torch.device("cuda")))
    apply = Updater.apply

    def strict(updater: Updater, *arguments: Any) -> None:
        torch.cuda.set_sync_debug_mode("error")
        try:
            apply(updater, *arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Updater, "apply", strict)
        assert 20 == trainer.train().state.updates
