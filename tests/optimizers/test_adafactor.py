"""Adafactor by hand: the factors of a matrix, the whole square of a vector, and what limits a step."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from specforge.optimizers.adafactor.config import AdafactorConfig
from specforge.optimizers.adafactor.optimizer import Adafactor, build

_UNLIMITED = 1e9


def _started(config: AdafactorConfig, *first: list[float] | list[list[float]]) -> tuple[Adafactor, list[Parameter]]:
    weights = [Parameter(torch.tensor(values, dtype=torch.float64)) for values in first]
    optimizer = build(config, [(str(nth), weight) for nth, weight in enumerate(weights)])
    assert isinstance(optimizer, Adafactor)
    return optimizer, weights


def _step(optimizer: Adafactor, weight: Parameter, gradient: list[float] | list[list[float]]) -> Tensor:
    weight.grad = torch.tensor(gradient, dtype=torch.float64)
    optimizer.step()
    return weight.detach()


def _close(expected: list[float] | list[list[float]], actual: Tensor) -> None:
    torch.testing.assert_close(torch.tensor(expected, dtype=torch.float64), actual, rtol=1e-12, atol=1e-14)


def test_two_steps_of_a_matrix() -> None:
    config = AdafactorConfig(lr=0.5, clip_threshold=_UNLIMITED, decay_rate=-1.0)
    optimizer, (weight,) = _started(config, [[0.0, 0.0], [0.0, 0.0]])

    # Squares 1, 9 | 4, 16: rows 5, 10 (their mean 7.5), columns 2.5, 12.5; the square at (i, j) is taken for
    # rows_i · columns_j / 7.5: 5/3, 25/3 | 10/3, 50/3. β is 0 in the first update.
    after = _step(optimizer, weight, [[1.0, 3.0], [2.0, -4.0]])
    first = [[1 / sqrt(5 / 3), 3 / sqrt(25 / 3)], [2 / sqrt(10 / 3), -4 / sqrt(50 / 3)]]
    _close([[-0.5 * one for one in row] for row in first], after)

    # With decay_rate -1, β = 1 - 1/2. Squares 1, 1 | 0, 0: rows (5 + 1) / 2 = 3 and (10 + 0) / 2 = 5 (their mean 4),
    # columns (2.5 + 0.5) / 2 = 1.5 and (12.5 + 0.5) / 2 = 6.5.
    before = after.clone()
    after = _step(optimizer, weight, [[1.0, 1.0], [0.0, 0.0]])
    second = [[1 / sqrt(3 * 1.5 / 4), 1 / sqrt(3 * 6.5 / 4)], [0.0, 0.0]]
    _close([[-0.5 * one for one in row] for row in second], after - before)


def test_a_matrix_keeps_a_number_a_row_and_a_number_a_column() -> None:
    optimizer, (matrix, vector) = _started(AdafactorConfig(), [[1.0, 2.0, 3.0]] * 2, [1.0, 2.0])
    vector.grad = torch.ones_like(vector)
    _step(optimizer, matrix, [[1.0, 1.0, 1.0]] * 2)

    kept = [
        {name: getattr(value, "shape", ()) for name, value in optimizer.state[one].items()} for one in (matrix, vector)
    ]
    assert [{"step": (), "exp_avg_sq_row": (2,), "exp_avg_sq_col": (3,)}, {"step": (), "exp_avg_sq": (2,)}] == kept


def test_of_more_dimensions_the_last_two_are_matrices() -> None:
    config = AdafactorConfig(lr=0.5, clip_threshold=_UNLIMITED)
    gradients = torch.tensor([[[1.0, 3.0], [2.0, -4.0]], [[7.0, 1.0], [1.0, 2.0]]], dtype=torch.float64)
    stacked = Parameter(torch.zeros_like(gradients))
    apart = [Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    stacked.grad = gradients
    for weight, gradient in zip(apart, gradients, strict=True):
        weight.grad = gradient

    build(config, [("stacked", stacked), *((str(nth), weight) for nth, weight in enumerate(apart))]).step()

    torch.testing.assert_close(torch.stack([weight.detach() for weight in apart]), stacked.detach())


def test_a_vector_keeps_its_squares_whole() -> None:
    config = AdafactorConfig(lr=1.0, clip_threshold=_UNLIMITED, decay_rate=-1.0)
    optimizer, (weight,) = _started(config, [0.0, 0.0])

    _close([-1.0, 1.0], _step(optimizer, weight, [3.0, -0.5]))
    # The running squares are the means of 9 and 1 and of 0.25 and 0.25.
    _close([-1.0 - 1 / sqrt(5), 2.0], _step(optimizer, weight, [1.0, -0.5]))


def test_the_default_decay_is_the_papers() -> None:
    optimizer, (weight,) = _started(AdafactorConfig(lr=1.0, clip_threshold=_UNLIMITED), [0.0])
    for _ in range(3):
        _step(optimizer, weight, [1.0])
    before = weight.item()

    # The running square is 1; in update 4 β = 1 - 4^-0.8, so it is β + (1 - β) · 4.
    keep = 1 - 4**-0.8
    assert before - 2 / sqrt(keep + (1 - keep) * 4) == pytest.approx(_step(optimizer, weight, [2.0]).item())


def test_a_step_is_shortened_to_the_threshold() -> None:
    # The step of a first update is ±1 everywhere, its root mean square 1.
    optimizer, (weight,) = _started(AdafactorConfig(lr=1.0, clip_threshold=0.25), [0.0, 0.0])

    _close([-0.25, 0.25], _step(optimizer, weight, [3.0, -5.0]))


def test_steps_may_be_scaled_by_the_size_of_the_tensor() -> None:
    config = AdafactorConfig(lr=0.1, eps=(1e-30, 0.5), scale_parameter=True)
    optimizer, (large, small) = _started(config, [3.0, 4.0, 0.0, 0.0], [0.0, 0.1])

    small.grad = torch.tensor([1.0, 1.0], dtype=torch.float64)
    # root of 25 / 4 is 2.5; the smaller tensor counts as 0.5
    _close([2.75, 3.75, -0.25, -0.25], _step(optimizer, large, [1.0, 1.0, 1.0, 1.0]))
    _close([-0.05, 0.05], small.detach())


def test_a_mean_of_steps_is_kept_where_asked() -> None:
    optimizer, (weight,) = _started(AdafactorConfig(lr=1.0, beta1=0.5), [0.0])

    # The steps are 1 and -1 (equal squares); their running mean is 0.5, then 0.25 - 0.5.
    _close([-0.5], _step(optimizer, weight, [2.0]))
    _close([-0.25], _step(optimizer, weight, [-2.0]))


def test_decay_shrinks_the_weight_by_the_rate_of_its_step() -> None:
    optimizer, (weight,) = _started(AdafactorConfig(lr=0.1, weight_decay=0.5), [10.0])
    scaled, (other,) = _started(AdafactorConfig(lr=0.1, weight_decay=0.5, scale_parameter=True), [10.0])

    _close([10 * 0.95 - 0.1], _step(optimizer, weight, [1.0]))
    # A rate of 0.1 · 10.
    _close([10 * 0.5 - 1.0], _step(scaled, other, [1.0]))


def test_the_rate_is_the_schedulers_and_may_be_zero() -> None:
    optimizer, (weight,) = _started(AdafactorConfig(lr=0.1), [1.0])
    optimizer.param_groups[0]["lr"] = 0.0
    _close([1.0], _step(optimizer, weight, [1.0]))

    optimizer.param_groups[0]["lr"] = 2.0
    _close([-1.0], _step(optimizer, weight, [1.0]))


def test_no_gradient_leaves_a_tensor_alone_and_a_zero_one_does_no_harm() -> None:
    optimizer, (weight, still) = _started(AdafactorConfig(weight_decay=0.5), [[1.0, 1.0], [1.0, 1.0]], [1.0])

    after = _step(optimizer, weight, [[0.0, 0.0], [0.0, 0.0]])

    assert torch.isfinite(after).all()
    assert 1.0 == still.item()
