"""Simplified Nesterov momentum by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from specforge.optimizers.nag.config import NagConfig
from specforge.optimizers.nag.optimizer import build


def _step(optimizer: Optimizer, weight: Parameter, gradient: float, lr: float) -> float:
    optimizer.param_groups[0]["lr"] = lr
    weight.grad = torch.tensor([gradient], dtype=torch.float64)
    optimizer.step()
    return weight.item()


def test_three_steps_by_hand_with_a_changing_rate() -> None:
    weight = Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = build(NagConfig(lr=0.1, momentum=0.5), [("weight", weight)])

    # v = 0: θ = 1 - 1.5 · 0.1 · 2 = 0.7; v = -0.1 · 2 = -0.2
    assert 0.7 == pytest.approx(_step(optimizer, weight, gradient=2.0, lr=0.1), abs=1e-15)
    # same rate: θ = 0.7 + 0.25 · -0.2 - 1.5 · 0.1 · 4 = 0.05; v = 0.5 · -0.2 - 0.1 · 4 = -0.5
    assert 0.05 == pytest.approx(_step(optimizer, weight, gradient=4.0, lr=0.1), abs=1e-15)
    # rate halved, factor 1/2: θ = 0.05 + 0.25 · 0.5 · -0.5 - 1.5 · 0.05 · 1 = -0.0875; v = 0.25 · -0.5 - 0.05 = -0.175
    assert -0.0875 == pytest.approx(_step(optimizer, weight, gradient=1.0, lr=0.05), abs=1e-15)
    assert -0.175 == pytest.approx(optimizer.state[weight]["momentum_buffer"].item(), abs=1e-15)


def test_without_a_change_of_rate_it_is_the_nesterov_momentum_of_pytorch() -> None:
    # PyTorch's SGD keeps v / -η; its look-ahead is the same formula as long as the rate stays.
    ours, theirs = (Parameter(torch.tensor([3.0, -1.0], dtype=torch.float64)) for _ in range(2))
    mine = build(NagConfig(lr=0.01, momentum=0.9), [("weight", ours)])
    reference = torch.optim.SGD([theirs], lr=0.01, momentum=0.9, nesterov=True)

    for _ in range(20):
        for weight, optimizer in ((ours, mine), (theirs, reference)):
            optimizer.zero_grad()
            (weight**4).sum().backward()
            optimizer.step()

    torch.testing.assert_close(theirs, ours, rtol=1e-12, atol=0.0)


def test_decay_shrinks_the_weight_before_the_step() -> None:
    weight = Parameter(torch.tensor([10.0], dtype=torch.float64))
    optimizer = build(NagConfig(lr=0.5, momentum=0.0, weight_decay=0.1), [("weight", weight)])

    # 10 · (1 - 0.5 · 0.1) - 0.5 · 1
    assert 9.0 == pytest.approx(_step(optimizer, weight, gradient=1.0, lr=0.5))


def test_a_rate_of_zero_in_the_warmup_stands_still() -> None:
    weight = Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = build(NagConfig(lr=0.1, momentum=0.9), [("weight", weight)])

    assert 1.0 == _step(optimizer, weight, gradient=5.0, lr=0.0)
    assert 1.0 - 1.9 * 0.1 == pytest.approx(_step(optimizer, weight, gradient=1.0, lr=0.1))


def test_a_parameter_without_a_gradient_stays() -> None:
    moved, still = (Parameter(torch.ones(1, dtype=torch.float64)) for _ in range(2))
    optimizer = build(NagConfig(weight_decay=0.5), [("moved", moved), ("still", still)])

    _step(optimizer, moved, gradient=1.0, lr=0.1)

    assert 1.0 == still.item()
