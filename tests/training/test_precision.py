from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_training import Recipe, tiny_trainer
from torch import nn

from specforge.training.precision import Precision, autocast
from specforge.training.weights import module_weights, weight_bytes

_CPU = torch.device("cpu")


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_matrix_products_are_computed_in_the_type_asked_for(precision: Precision, dtype: torch.dtype) -> None:
    layer = nn.Linear(4, 4)

    with autocast(_CPU, precision):
        product = layer(torch.ones(2, 4))
        normed = nn.functional.layer_norm(torch.ones(2, 4), (4,))

    assert (dtype, torch.float32) == (product.dtype, normed.dtype)
    assert torch.float32 == layer.weight.dtype


def test_fp32_leaves_other_types_alone() -> None:
    with autocast(_CPU, "fp32"):
        assert torch.float64 == nn.Linear(2, 2).double()(torch.ones(1, 2, dtype=torch.float64)).dtype


def test_bf16_trains_weights_in_fp32_near_the_fp32_trajectory(tmp_path: Path) -> None:
    recipe = Recipe(max_updates=6, dropout=0.0)
    losses: dict[Precision, float] = {}
    weights = {}
    for precision in ("fp32", "bf16"):
        trainer, module = tiny_trainer(replace(recipe, precision=precision), tmp_path / precision)
        losses[precision] = trainer.train().last_values["loss"]
        weights[precision] = module_weights(module)

    assert all(torch.float32 == tensor.dtype for tensor in weights["bf16"].values())
    assert weight_bytes(weights["fp32"]) != weight_bytes(weights["bf16"])
    assert losses["fp32"] == pytest.approx(losses["bf16"], rel=0.02)
