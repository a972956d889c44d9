"""An update on a device that is not the processor, as far as that can be seen without one.

PyTorch's meta device has shapes and no values. A tensor made on the processor in the middle of an update does not go with its
tensors, and a value that is asked for is not there: on CUDA the one would be an error, and the other a wait.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from packed_reference import reference
from tiny_training import Family, Recipe, tiny_loader, tiny_module
from torch import Tensor
from torch.optim import Optimizer

from specforge.modules import packing as packing_module
from specforge.training.ema import Ema
from specforge.training.parallel.choice import chosen_strategy
from specforge.training.parallel.process import Parallel
from specforge.training.precision import Precision
from specforge.training.updater import Updater

_META, _CPU = torch.device("meta"), torch.device("cpu")
_RECIPE = Recipe(max_tokens=8, clip_norm=0.1)


@pytest.fixture(autouse=True)
def meta_knows_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    autocast, enabled = torch.autocast, torch.is_autocast_enabled

    def without_meta(device: str, *rest: Any, **how: Any) -> AbstractContextManager[Any]:
        return nullcontext() if device == "meta" else autocast(device, *rest, **how)

    monkeypatch.setattr(torch, "autocast", without_meta)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: device != "meta" and enabled(device))


class _Gated(Optimizer):
    """Stands for PyTorch's fused optimizers, which are not there for this device: they see to numbers that are not finite."""

    _step_supports_amp_scaling = True
    found_inf: Tensor

    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # torch's types have it both ways
        del closure
        assert _META == self.found_inf.device


def _update(recipe: Recipe) -> None:
    module = tiny_module(recipe)
    parallel = Parallel(_META)
    strategy = chosen_strategy("ddp", module, parallel)
    optimizer, ema = _Gated(strategy.trainable(), {}), Ema(strategy.trainable(), 0.9)
    updater = Updater(
        strategy, optimizer, parallel, seed=1, clip_norm=recipe.clip_norm, precision=recipe.precision, ema=ema
    )
    updates = tiny_loader(recipe, Parallel(_CPU)).updates(1, 0)
    for number in range(2):
        updater.apply(next(updates).pieces, 0.1, number)
    updates.close()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("family", get_args(Family))
def test_an_update_makes_all_its_tensors_where_it_computes_and_asks_for_none(
    family: Family, precision: Precision
) -> None:
    _update(replace(_RECIPE, family=family, precision=precision))


@pytest.mark.parametrize("family", ["transformer", "transformer_lm", "transformer_classifier"])
def test_so_does_one_without_padding(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing_module, "varlen_attn", reference)
    monkeypatch.setattr("specforge.modules.transformer.packs", lambda *_: True)
    _update(replace(_RECIPE, family=family, checkpointing=True))
