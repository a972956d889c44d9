"""Stochastic gradient descent by hand."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch.nn import Parameter

from specforge.optimizers.sgd.config import SgdConfig
from specforge.optimizers.sgd.optimizer import build


def _after(config: SgdConfig, *gradients: float) -> list[float]:
    """Return a weight that was 1 after a step with each of the gradients."""
    weight = Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = build(config, [("weight", weight)])
    values = []
    for gradient in gradients:
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        values.append(weight.item())
    return values


def test_a_plain_step_is_the_gradient_times_the_rate() -> None:
    # 1 - 0.1 · 2 = 0.8, then 0.8 + 0.1 · 1 = 0.9
    assert [0.8, 0.9] == pytest.approx(_after(SgdConfig(lr=0.1), 2.0, -1.0), abs=1e-15)


def test_momentum_keeps_a_share_of_the_direction() -> None:
    # v = 2, then 0.5 · 2 + 4 = 5, then 0.5 · 5 - 1 = 1.5
    config = SgdConfig(lr=0.1, momentum=0.5)

    assert [0.8, 0.3, 0.15] == pytest.approx(_after(config, 2.0, 4.0, -1.0), abs=1e-15)


def test_nesterov_steps_with_the_gradient_and_the_direction_to_come() -> None:
    # v as above; steps of g + 0.5 v: 3, then 6.5, then -0.25
    config = SgdConfig(lr=0.1, momentum=0.5, nesterov=True)

    assert [0.7, 0.05, 0.075] == pytest.approx(_after(config, 2.0, 4.0, -1.0), abs=1e-15)


def test_decay_passes_through_the_momentum() -> None:
    # gradients 0 + 0.5 · 1, then 0 + 0.5 · 0.95; v = 0.5, then 0.25 + 0.475
    config = SgdConfig(lr=0.1, momentum=0.5, weight_decay=0.5)

    assert [0.95, 0.8775] == pytest.approx(_after(config, 0.0, 0.0), abs=1e-15)


def test_one_kernel_updates_all_weights_on_the_cpu() -> None:
    optimizer = build(SgdConfig(), [("weight", Parameter(torch.ones(2)))])

    assert optimizer.param_groups[0]["fused"] is True


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(ValidationError, match="`nesterov` needs `momentum`"):
        SgdConfig(nesterov=True)
