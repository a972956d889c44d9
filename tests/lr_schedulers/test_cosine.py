"""The table of fairseq's `cosine`: lo + ½ (hi - lo) (1 + cos(π t / T)), with lo and hi shrunk by every period."""

from __future__ import annotations

import pytest

from specforge.lr_schedulers.cosine import CosineConfig, build
from specforge.plugin import Progress


def rate(config: CosineConfig, updates: int, max_updates: int | None = None) -> float:
    """Return the rate of the update that follows `updates`, at a peak of 1."""
    return build(config, peak_lr=1.0)(Progress(updates, epoch=1, max_updates=max_updates))


@pytest.mark.parametrize(
    ("updates", "expected"),
    # cos 0 = 1, cos 60° = ½, cos 90° = 0, cos 180° = -1, between 0.2 and 1
    [(0, 1.0), (100, 0.8), (150, 0.6), (300, 0.2), (999, 0.2)],
)
def test_half_a_cosine_ends_at_max_updates(updates: int, expected: float) -> None:
    assert expected == pytest.approx(rate(CosineConfig(min_lr=0.2), updates, max_updates=300))


@pytest.mark.parametrize(("updates", "expected"), [(0, 0.0), (1, 0.25), (3, 0.75), (4, 1.0), (7, 0.5), (10, 0.0)])
def test_warmup_is_linear_and_the_cosine_begins_after_it(updates: int, expected: float) -> None:
    assert expected == pytest.approx(rate(CosineConfig(warmup_updates=4), updates, max_updates=10))


def test_warmup_may_start_elsewhere_than_at_the_lowest_rate() -> None:
    config = CosineConfig(warmup_updates=2, warmup_init_lr=0.5)

    assert [0.5, 0.75, 1.0] == pytest.approx([rate(config, updates, max_updates=10) for updates in range(3)])


@pytest.mark.parametrize(
    ("updates", "expected"),
    # periods of 2: the third starts at update 4 with 0.1 ^ 2
    [(0, 1.0), (1, 0.5), (2, 0.1), (3, 0.05), (4, 0.01)],
)
def test_every_period_shrinks(updates: int, expected: float) -> None:
    assert expected == pytest.approx(rate(CosineConfig(lr_period_updates=2), updates))


@pytest.mark.parametrize(
    ("updates", "expected"),
    # periods of 2, 4 and 8 updates: they begin at 0, 2 and 6
    [(1, 0.5), (2, 1.0), (4, 0.5), (6, 1.0), (10, 0.5), (14, 1.0)],
)
def test_periods_may_grow(updates: int, expected: float) -> None:
    config = CosineConfig(lr_period_updates=2, t_mult=2.0, lr_shrink=1.0)

    assert expected == pytest.approx(rate(config, updates))


def test_only_a_period_of_its_own_makes_it_free_of_the_budget() -> None:
    assert not CosineConfig().horizon_free
    assert CosineConfig(lr_period_updates=100).horizon_free
