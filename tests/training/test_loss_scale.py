from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_training import Recipe, Recorder, tiny_loader, tiny_module, tiny_optimizer, tiny_trainer
from torch import Tensor

from specforge.foundation.errors import StepFailedError
from specforge.training.loss_scale import SMALLEST_SCALE, LossScale, LossScaleState
from specforge.training.module import TrainingModule
from specforge.training.parallel.ddp import Replicated
from specforge.training.parallel.process import Parallel
from specforge.training.settings import Every
from specforge.training.updater import Updater
from specforge.training.weights import module_weights

_CPU = Parallel(torch.device("cpu"))
_NEVER = Every(1_000, "update")
_LONG = Recipe(max_updates=12, dropout=0.0, checkpoint_every=_NEVER, validate_every=_NEVER)
_YES, _NO = torch.tensor(True), torch.tensor(False)


def test_an_overflow_halves_the_scale_and_a_while_without_one_doubles_it() -> None:
    scale = LossScale(torch.device("cpu"), growth_interval=3)
    found = []
    for overflowed in (False, True, False, False, False, False, True, True):
        scale.adapt(torch.tensor(overflowed), torch.tensor(not overflowed))
        state = scale.state()
        found.append((state.scale, state.steady, state.overflows))

    assert [
        (128.0, 1, 0), (64.0, 0, 1), (64.0, 1, 1), (64.0, 2, 1), (128.0, 0, 1), (128.0, 1, 1), (64.0, 0, 2), (32.0, 0, 3)
    ] == found  # fmt: skip


def test_an_update_that_is_neither_applied_nor_overflows_leaves_it_alone() -> None:
    scale = LossScale(torch.device("cpu"))
    scale.load(LossScaleState(scale=4.0, steady=7, overflows=2))
    scale.adapt(_NO, _NO)

    assert LossScaleState(scale=4.0, steady=7, overflows=2) == scale.state()


@pytest.mark.parametrize(
    ("loss", "norm", "scale", "expected"),
    [
        (1.0, 1.0, 128.0, "no"),
        (1.0, float("inf"), 128.0, "yes"),
        (1.0, float("nan"), 128.0, "yes"),
        (float("nan"), float("nan"), 128.0, "no"),
        (1.0, float("inf"), SMALLEST_SCALE, "no"),
    ],
)
def test_an_overflow_is_a_gradient_alone_that_is_not_finite(
    loss: float, norm: float, scale: float, expected: str
) -> None:
    found = LossScale(torch.device("cpu"))
    found.load(LossScaleState(scale=scale))

    assert (expected == "yes") == bool(found.overflowed(torch.tensor(loss), torch.tensor(norm)))


@pytest.fixture
def in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """fp16 without its numbers, which a processor computes in its own way: what is left is the scaling."""
    monkeypatch.setattr(
        "specforge.training.updater.autocast", lambda device, _: torch.autocast(device.type, enabled=False)
    )


def _overflowing(module: TrainingModule, above: float) -> None:
    """Let a gradient become infinite where it is larger than a limit, as in fp16."""

    def limited(gradient: Tensor) -> Tensor:
        return torch.where(gradient.abs().max() > above, gradient * float("inf"), gradient)

    module.model.hidden.weight.register_hook(limited)  # type: ignore[operator, union-attr]  # a TinyModel


@pytest.mark.usefixtures("in_full")
def test_without_an_overflow_weights_are_those_of_a_training_without_scaling(tmp_path: Path) -> None:
    plain, expected = tiny_trainer(_LONG, tmp_path / "plain")
    plain.train()
    scaled, found = tiny_trainer(replace(_LONG, precision="fp16"), tmp_path / "scaled")
    scaled.train()

    # a power of two changes no digit
    assert all(
        torch.equal(one, other)
        for one, other in zip(module_weights(expected).values(), module_weights(found).values(), strict=True)
    )


@pytest.mark.usefixtures("in_full")
def test_an_update_that_overflows_is_left_out_and_counted_apart(tmp_path: Path) -> None:
    recorder = Recorder()
    trainer, module = tiny_trainer(replace(_LONG, precision="fp16"), tmp_path, recorder)
    _overflowing(module, above=300.0)
    first = {name: tensor.clone() for name, tensor in module_weights(module).items()}
    state = trainer.train().state

    assert state.loss_scale is not None
    overflows = state.loss_scale.overflows
    assert 0 < overflows < 12
    assert 128.0 / 2**overflows == state.loss_scale.scale
    assert not state.skipped
    assert not recorder.warnings
    assert 12 == state.updates
    lines = recorder.named("train")
    assert (state.loss_scale.scale, overflows) == (lines[-1]["loss_scale"], lines[-1]["overflows"])
    assert all(torch.isfinite(tensor).all() for tensor in module_weights(module).values())
    assert any(not torch.equal(first[name], tensor) for name, tensor in module_weights(module).items())


@pytest.mark.usefixtures("in_full")
@pytest.mark.parametrize("stop", [1, 2, 5, 8])
def test_going_on_after_a_stop_knows_the_scale(stop: int, tmp_path: Path) -> None:
    recipe = replace(_LONG, precision="fp16")
    whole, expected = tiny_trainer(recipe, tmp_path / "whole")
    _overflowing(expected, above=300.0)
    state = whole.train().state
    for updates in (stop, 12):
        part, found = tiny_trainer(replace(recipe, max_updates=updates), tmp_path / "parts")
        _overflowing(found, above=300.0)
        parts = part.train().state

    assert state.loss_scale == parts.loss_scale
    assert all(
        torch.equal(one, other)
        for one, other in zip(module_weights(expected).values(), module_weights(found).values(), strict=True)
    )


@pytest.mark.usefixtures("in_full")
@pytest.mark.parametrize("free", ["cpu", "none"])
def test_a_gradient_that_no_scale_cures_ends_training(
    free: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("specforge.training.trainer.reading_is_free", lambda device: device.type == free)
    trainer, module = tiny_trainer(replace(_LONG, precision="fp16", max_updates=60, log_every=9), tmp_path)
    _overflowing(module, above=0.0)
    before = {name: tensor.clone() for name, tensor in module_weights(module).items()}

    # 128 is halved twenty times
    with pytest.raises(StepFailedError, match="the gradient of update 21 overflows in fp16") as caught:
        trainer.train()

    assert "SF675" == caught.value.code
    assert all(torch.equal(before[name], tensor) for name, tensor in module_weights(module).items())
    assert (tmp_path / "non-finite" / "21" / "batch.json").is_file()


@pytest.mark.usefixtures("in_full")
def test_the_norm_that_is_clipped_and_logged_is_that_of_the_loss_without_scale() -> None:
    norms = []
    for precision in ("fp32", "fp16"):
        module = tiny_module(_LONG)
        optimizer = tiny_optimizer(_LONG, module)
        updater = Updater(Replicated(module, _CPU), optimizer, _CPU, seed=1, clip_norm=0.1, precision=precision)
        updater.apply(next(tiny_loader(_LONG, _CPU).updates(1, 0)).pieces, 0.1, 0)
        norms.append(updater.read().gradient_norm)

    assert norms[0] == norms[1] > 0.1


@pytest.mark.gpu
def test_fp16_learns_on_a_gpu_and_goes_on_bit_by_bit(tmp_path: Path) -> None:
    cuda = Parallel(torch.device("cuda"))
    recipe = replace(_LONG, family="transformer", precision="fp16", max_updates=40, dropout=0.1)
    recorder = Recorder()
    whole, expected = tiny_trainer(recipe, tmp_path / "whole", recorder, parallel=cuda)
    state = whole.train().state
    for updates in (17, 40):
        part, found = tiny_trainer(replace(recipe, max_updates=updates), tmp_path / "parts", parallel=cuda)
        parts = part.train().state

    losses = [float(str(line["loss"])) for line in recorder.named("train")]
    assert losses[-1] < losses[0]
    assert state.loss_scale == parts.loss_scale
    assert all(
        torch.equal(one, other)
        for one, other in zip(module_weights(expected).values(), module_weights(found).values(), strict=True)
    )
