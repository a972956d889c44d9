"""AdamW's first steps by hand, whichever kernel does them."""

from __future__ import annotations

from math import sqrt
from typing import Literal, TypeAlias

import pytest
import torch
from torch.nn import Parameter

from specforge.optimizers.adam.config import AdamConfig
from specforge.optimizers.adam.optimizer import build as build_adam
from specforge.optimizers.adamw.config import AdamWConfig
from specforge.optimizers.adamw.optimizer import build

_Kernel: TypeAlias = Literal["auto", "fused", "foreach", "loop"]
_KERNELS: tuple[_Kernel, ...] = ("auto", "fused", "foreach", "loop")


@pytest.mark.parametrize("kernel", _KERNELS)
def test_two_steps_by_hand(kernel: _Kernel) -> None:
    weight = Parameter(torch.tensor([1.0], dtype=torch.float64))
    config = AdamWConfig(lr=0.1, betas=(0.9, 0.99), eps=1e-3, weight_decay=0.5, kernel=kernel)
    optimizer = build(config, [("weight", weight)])

    weight.grad = torch.tensor([2.0], dtype=torch.float64)
    optimizer.step()
    # The decay first, by lr · weight_decay; the gradient's running means know nothing of it.
    first = 1.0 * (1 - 0.1 * 0.5) - 0.1 * 2.0 / (2.0 + 1e-3)
    assert first == pytest.approx(weight.item(), abs=1e-12)

    weight.grad = torch.tensor([-1.0], dtype=torch.float64)
    optimizer.step()
    mean = (0.9 * 0.1 * 2.0 + 0.1 * -1.0) / (1 - 0.9**2)
    square = (0.99 * 0.01 * 4.0 + 0.01 * 1.0) / (1 - 0.99**2)
    assert first * 0.95 - 0.1 * mean / (sqrt(square) + 1e-3) == pytest.approx(weight.item(), abs=1e-12)


def test_amsgrad_divides_by_the_largest_square() -> None:
    weight = Parameter(torch.tensor([0.0], dtype=torch.float64))
    config = AdamWConfig(lr=1.0, betas=(0.0, 0.5), eps=1e-30, weight_decay=0.0, amsgrad=True)
    optimizer = build(config, [("weight", weight)])

    # running squares: 8, then 4 + 0.5; corrected by 1 - 0.5²; the larger is 8
    for gradient in (4.0, 1.0):
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()

    assert -1.0 - 1.0 / sqrt(8 / 0.75) == pytest.approx(weight.item())


@pytest.mark.parametrize(
    ("kernel", "fused", "foreach"),
    [("auto", True, None), ("fused", True, None), ("foreach", False, True), ("loop", False, False)],
)
def test_a_kernel_may_be_chosen(kernel: _Kernel, *, fused: bool, foreach: bool | None) -> None:
    group = build(AdamWConfig(kernel=kernel), [("weight", Parameter(torch.ones(2)))]).param_groups[0]

    assert (fused, foreach) == (group["fused"], group["foreach"])


def test_with_equal_values_it_is_adam_bit_by_bit() -> None:
    ours, others = (Parameter(torch.tensor([3.0, -1.0])) for _ in range(2))
    mine = build(AdamWConfig(lr=0.01, weight_decay=0.1), [("weight", ours)])
    theirs = build_adam(AdamConfig(lr=0.01, weight_decay=0.1), [("weight", others)])

    for _ in range(5):
        for weight, optimizer in ((ours, mine), (others, theirs)):
            optimizer.zero_grad()
            (weight**4).sum().backward()
            optimizer.step()

    assert torch.equal(ours, others)
