"""Adam's first steps by hand."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch.nn import Parameter

from specforge.optimizers.adam.config import AdamConfig
from specforge.optimizers.adam.optimizer import build


def test_two_steps_by_hand() -> None:
    weight = Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = build(AdamConfig(lr=0.1, betas=(0.9, 0.99), eps=1e-3), [("weight", weight)])

    weight.grad = torch.tensor([2.0], dtype=torch.float64)
    optimizer.step()
    # The corrected mean of one gradient is the gradient, and so is the root of the corrected square.
    first = 1.0 - 0.1 * 2.0 / (2.0 + 1e-3)
    assert first == pytest.approx(weight.item(), abs=1e-12)

    weight.grad = torch.tensor([-1.0], dtype=torch.float64)
    optimizer.step()
    mean = (0.9 * 0.1 * 2.0 + 0.1 * -1.0) / (1 - 0.9**2)
    square = (0.99 * 0.01 * 4.0 + 0.01 * 1.0) / (1 - 0.99**2)
    assert first - 0.1 * mean / (sqrt(square) + 1e-3) == pytest.approx(weight.item(), abs=1e-12)


def test_decay_does_not_pass_through_the_running_means() -> None:
    weight = Parameter(torch.tensor([10.0], dtype=torch.float64))
    optimizer = build(AdamConfig(lr=0.5, weight_decay=0.1), [("weight", weight)])

    weight.grad = torch.tensor([0.0], dtype=torch.float64)
    optimizer.step()

    # Only the decay acts: 10 · (1 - 0.5 · 0.1).
    assert 9.5 == pytest.approx(weight.item())


def test_one_kernel_updates_all_weights_on_the_cpu() -> None:
    optimizer = build(AdamConfig(), [("weight", Parameter(torch.ones(2)))])

    assert optimizer.param_groups[0]["fused"] is True
