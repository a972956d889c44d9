"""Dropout: right share, right mean, repeatable, and no gradient through what was dropped."""

from __future__ import annotations

import pytest
import torch

from specforge.modules.dropout import Dropout, dropout


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.5])
def test_the_share_of_zeros_is_the_probability(probability: float) -> None:
    torch.manual_seed(1)
    elements = 400_000

    zeros = int((dropout(torch.ones(elements), probability, training=True) == 0).sum())

    deviation = (elements * probability * (1 - probability)) ** 0.5
    assert abs(zeros - elements * probability) < 5 * deviation


def test_what_is_kept_is_scaled_so_that_the_mean_stays() -> None:
    torch.manual_seed(1)

    values = dropout(torch.ones(1_000), 0.25, training=True)

    assert values.unique().tolist() == pytest.approx([0.0, 4 / 3])  # 0.25 is a multiple of 1/65,536


def test_the_scale_belongs_to_the_rounded_probability() -> None:
    torch.manual_seed(1)

    values = dropout(torch.ones(1_000, dtype=torch.float64), 0.1, training=True)

    dropped = 6_554  # 0.1 x 65,536 = 6,553.6
    assert values.max().item() == pytest.approx(65_536 / (65_536 - dropped), rel=1e-15)


def test_every_size_is_covered() -> None:
    torch.manual_seed(1)

    for size in range(1, 9):  # random bits are drawn four elements at a time
        assert dropout(torch.ones(size, 3), 0.5, training=True).shape == (size, 3)


def test_the_same_seed_drops_the_same_elements() -> None:
    values = torch.ones(100)
    torch.manual_seed(7)
    first = dropout(values, 0.5, training=True)
    second = dropout(values, 0.5, training=True)
    torch.manual_seed(7)
    again = dropout(values, 0.5, training=True)

    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_gradient_flows_through_what_is_kept() -> None:
    torch.manual_seed(1)
    values = torch.full((64,), 3.0, requires_grad=True)

    dropped = dropout(values, 0.5, training=True)
    dropped.sum().backward()

    assert values.grad is not None
    assert torch.equal(values.grad, dropped.detach() / 3.0)  # 0 or 2, as in the values


def test_outside_training_nothing_is_drawn() -> None:
    values = torch.ones(10)
    state = torch.get_rng_state()
    layer = Dropout(0.5).eval()

    assert layer(values) is values
    assert dropout(values, 0.0, training=True) is values
    assert torch.equal(state, torch.get_rng_state())


def test_the_highest_probability_keeps_a_little() -> None:
    torch.manual_seed(1)

    values = dropout(torch.ones(100), 0.999_999, training=True)

    assert bool(torch.isfinite(values).all())


def test_bfloat16_stays_bfloat16() -> None:
    assert dropout(torch.ones(4, dtype=torch.bfloat16), 0.5, training=True).dtype == torch.bfloat16
