"""Every optimizer and every schedule, stopped and gone on with, ends where an uninterrupted training does: bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import pytest
from tiny_training import Recipe, Recorder, tiny_trainer
from torch.nn import Parameter
from torch.optim import Optimizer

from specforge.foundation.errors import StoppedRunError
from specforge.foundation.events import Scalar
from specforge.lr_schedulers.cosine import CosineConfig
from specforge.lr_schedulers.cosine import build as build_cosine
from specforge.lr_schedulers.polynomial_decay import PolynomialDecayConfig
from specforge.lr_schedulers.polynomial_decay import build as build_polynomial_decay
from specforge.lr_schedulers.reduce_lr_on_plateau import ReduceLROnPlateauConfig
from specforge.lr_schedulers.reduce_lr_on_plateau import build as build_reduce_lr_on_plateau
from specforge.lr_schedulers.tri_stage import TriStageConfig
from specforge.lr_schedulers.tri_stage import build as build_tri_stage
from specforge.optimizers.adafactor.config import AdafactorConfig
from specforge.optimizers.adafactor.optimizer import build as build_adafactor
from specforge.optimizers.adam.config import AdamConfig
from specforge.optimizers.adam.optimizer import build as build_adam
from specforge.optimizers.adamw.config import AdamWConfig
from specforge.optimizers.adamw.optimizer import build as build_adamw
from specforge.optimizers.nag.config import NagConfig
from specforge.optimizers.nag.optimizer import build as build_nag
from specforge.optimizers.sgd.config import SgdConfig
from specforge.optimizers.sgd.optimizer import build as build_sgd
from specforge.plugin import Progress, Schedule
from specforge.training.optimizer_state import optimizer_state
from specforge.training.stopping import StopRequest
from specforge.training.weights import module_weights, weight_bytes

_Build: TypeAlias = Callable[[list[tuple[str, Parameter]]], Optimizer]

_RECIPE = Recipe(max_updates=22, lr=0.05)

_OPTIMIZERS: dict[str, _Build] = {
    "adam": lambda named: build_adam(AdamConfig(weight_decay=0.01), named),
    "adamw": lambda named: build_adamw(AdamWConfig(amsgrad=True), named),
    "adamw, a kernel an operation": lambda named: build_adamw(AdamWConfig(kernel="foreach"), named),
    "sgd": lambda named: build_sgd(SgdConfig(), named),
    "sgd with momentum": lambda named: build_sgd(SgdConfig(momentum=0.9, nesterov=True, weight_decay=0.01), named),
    "nag": lambda named: build_nag(NagConfig(momentum=0.9), named),
    "adafactor": lambda named: build_adafactor(AdafactorConfig(), named),
    "adafactor with all": lambda named: build_adafactor(
        AdafactorConfig(beta1=0.9, scale_parameter=True, weight_decay=0.01), named
    ),
}

_SCHEDULES: dict[str, Schedule] = {
    "cosine": build_cosine(CosineConfig(lr_period_updates=9), peak_lr=0.05),
    "polynomial_decay": build_polynomial_decay(
        PolynomialDecayConfig(warmup_updates=3, total_num_update=20), peak_lr=0.05
    ),
    "tri_stage": build_tri_stage(TriStageConfig(warmup_updates=4, hold_updates=6, decay_updates=9), peak_lr=0.05),
    # A rate at which the loss rises, so that there are plateaus.
    "reduce_lr_on_plateau": build_reduce_lr_on_plateau(
        ReduceLROnPlateauConfig(lr_shrink=0.5, warmup_updates=2), peak_lr=2.0
    ),
}


@dataclass
class Training:
    """What a training leaves behind, as bytes, and what it reported."""

    left: list[bytes]
    recorder: Recorder


class Stopper(Recorder):
    """Asks for a stop after an update."""

    def __init__(self, request: StopRequest, update: int) -> None:
        super().__init__()
        self._request = request
        self._update = update

    def record(self, name: str, **values: Scalar) -> None:
        super().record(name, **values)
        if name == "train" and values["updates"] == self._update:
            self._request.make()


def _trained(
    work: Path,
    recipe: Recipe = _RECIPE,
    build: _Build = _OPTIMIZERS["adam"],
    schedule: Schedule | None = None,
    stop_after: int | None = None,
) -> Training:
    request = StopRequest()
    recorder = Recorder() if stop_after is None else Stopper(request, stop_after)
    trainer, module = tiny_trainer(recipe, work, recorder, request, optimizer=lambda made: build(made.trainable()))
    trainer._schedule = schedule or trainer._schedule
    outcome = trainer.train()
    tensors, rest = optimizer_state(trainer._updater._optimizer, module.trainable())
    state = outcome.state.model_dump(exclude={"seconds"})
    left = [weight_bytes(module_weights(module)), weight_bytes(tensors), json.dumps([state, rest]).encode()]
    return Training(left, recorder)


@pytest.mark.parametrize("name", _OPTIMIZERS)
def test_an_optimizer_goes_on(name: str, tmp_path: Path) -> None:
    build = _OPTIMIZERS[name]
    whole = _trained(tmp_path / "whole", build=build)

    _trained(tmp_path / "cut", replace(_RECIPE, max_updates=7), build)
    with pytest.raises(StoppedRunError):
        _trained(tmp_path / "cut", build=build, stop_after=13)
    rest = _trained(tmp_path / "cut", build=build)

    assert 15 == rest.recorder.named("train")[0]["updates"]  # the stop came while update 14 was computed
    assert whole.left == rest.left


@pytest.mark.parametrize("budget", [5, 8, 15, 16])
@pytest.mark.parametrize("name", _SCHEDULES)
def test_a_schedule_goes_on(name: str, budget: int, tmp_path: Path) -> None:
    schedule = _SCHEDULES[name]
    whole = _trained(tmp_path / "whole", schedule=schedule)

    _trained(tmp_path / "cut", replace(_RECIPE, max_updates=budget), schedule=schedule)
    rest = _trained(tmp_path / "cut", schedule=schedule)

    assert budget + 1 == rest.recorder.named("train")[0]["updates"]
    assert whole.left == rest.left


@pytest.mark.parametrize("higher_is_better", [False, True])
def test_the_rate_follows_validation_from_the_next_update_on(tmp_path: Path, *, higher_is_better: bool) -> None:
    seen: list[Progress] = []

    def schedule(progress: Progress) -> float:
        seen.append(progress)
        return _SCHEDULES["reduce_lr_on_plateau"](progress)

    recorder = Recorder()
    trainer, _ = tiny_trainer(_RECIPE, tmp_path, recorder)
    trainer._schedule = schedule
    selection = replace(trainer._settings.selection, higher_is_better=higher_is_better)
    trainer._settings = replace(trainer._settings, selection=selection)
    trainer.train()

    sign = -1.0 if higher_is_better else 1.0
    found = [(int(str(values["updates"])), sign * float(str(values["loss"]))) for values in recorder.named("valid")]
    assert {0, 21} <= {progress.updates for progress in seen}
    for progress in seen:
        known = [(updates, value) for updates, value in found if updates <= progress.updates]
        assert known == [(one.updates, one.value) for one in progress.validations]
    rates = [float(str(values["lr"])) for values in recorder.named("train")]
    changes = {done for done in range(3, 22) if rates[done] != rates[done - 1]}
    assert changes, "the recipe must have a plateau"
    assert changes <= {5, 10, 15, 20}
