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
from tiny_training import Family, Recipe, tiny_loader, tiny_module, tiny_optimizer

from specforge.modules import packing as packing_module
from specforge.training.ema import Ema
from specforge.training.parallel.choice import chosen_strategy
from specforge.training.parallel.process import Parallel
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


def _update(recipe: Recipe) -> None:
    module = tiny_module(recipe)
    parallel = Parallel(_META)
    strategy = chosen_strategy("ddp", module, parallel)
    optimizer, ema = tiny_optimizer(recipe, strategy), Ema(strategy.trainable(), 0.9)
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
    family: Family, precision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What steps by itself where numbers are not finite is asked for that.
    monkeypatch.setattr(torch.optim.Adam, "_step_supports_amp_scaling", True, raising=False)
    monkeypatch.setattr(torch.optim.Adam, "step", lambda _: None)
    _update(replace(_RECIPE, family=family, precision=precision))


@pytest.mark.parametrize("family", ["transformer", "transformer_lm", "transformer_classifier"])
def test_so_does_one_without_padding(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.optim.Adam, "_step_supports_amp_scaling", True, raising=False)
    monkeypatch.setattr(torch.optim.Adam, "step", lambda _: None)
    monkeypatch.setattr(packing_module, "varlen_attn", reference)
    monkeypatch.setattr("specforge.modules.transformer.packs", lambda *_: True)
    _update(replace(_RECIPE, family=family, checkpointing=True))
