"""The table of fairseq's `polynomial_decay`: end + (peak - end) · (1 - (u - w) / (n - w)) ^ power."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from specforge.lr_schedulers.polynomial_decay import PolynomialDecayConfig, build
from specforge.plugin import Progress


def rate(config: PolynomialDecayConfig, updates: int, max_updates: int | None = None) -> float:
    """Return the rate of the update that follows `updates`, at a peak of 1."""
    return build(config, peak_lr=1.0)(Progress(updates, epoch=1, max_updates=max_updates))


@pytest.mark.parametrize(
    ("updates", "expected"),
    [(0, 0.0), (1, 0.25), (3, 0.75), (4, 1.0), (6, 0.8), (9, 0.5), (13, 0.1), (14, 0.0), (99, 0.0)],
)
def test_up_and_down_a_line_to_max_updates(updates: int, expected: float) -> None:
    assert expected == pytest.approx(rate(PolynomialDecayConfig(warmup_updates=4), updates, max_updates=14))


@pytest.mark.parametrize(
    ("updates", "expected"),
    # 0.2 + 0.8 · (1 - u / 4)²
    [(0, 1.0), (1, 0.65), (2, 0.4), (3, 0.25), (4, 0.2), (5, 0.2)],
)
def test_a_square_to_an_end_of_its_own(updates: int, expected: float) -> None:
    config = PolynomialDecayConfig(end_learning_rate=0.2, power=2.0, total_num_update=4)

    assert expected == pytest.approx(rate(config, updates, max_updates=1_000))


def test_a_warmup_as_long_as_the_budget_rises_to_its_end() -> None:
    config = PolynomialDecayConfig(warmup_updates=4)

    assert [0.0, 0.25, 0.5, 0.75, 1.0, 0.0] == [rate(config, updates, max_updates=4) for updates in range(6)]


def test_only_an_end_of_its_own_makes_it_free_of_the_budget() -> None:
    assert not PolynomialDecayConfig().horizon_free
    assert PolynomialDecayConfig(total_num_update=100).horizon_free
    with pytest.raises(ValueError, match="max_updates"):
        rate(PolynomialDecayConfig(), updates=1)


def test_the_end_comes_after_the_warmup() -> None:
    with pytest.raises(ValidationError, match="the decay must end after the warm-up"):
        PolynomialDecayConfig(warmup_updates=100, total_num_update=100)
