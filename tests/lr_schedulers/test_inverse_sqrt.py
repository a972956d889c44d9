"""Numbers that can be redone by hand: linear up to the peak, then peak · √warm-up / √updates."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from specforge.lr_schedulers.inverse_sqrt import InverseSqrtConfig, build
from specforge.plugin import Progress


@pytest.mark.parametrize(
    ("updates", "expected"),
    [(0, 0.0), (1, 0.01), (50, 0.5), (99, 0.99), (100, 1.0), (400, 0.5), (2_500, 0.2), (10_000, 0.1)],
)
def test_rate_rises_linearly_then_falls_with_the_square_root(updates: int, expected: float) -> None:
    rate = build(InverseSqrtConfig(warmup_updates=100), peak_lr=1.0)

    assert expected == pytest.approx(rate(Progress(updates, epoch=1)))


@pytest.mark.parametrize(("updates", "expected"), [(0, 0.2), (5, 0.6), (10, 1.0), (40, 0.5)])
def test_warmup_starts_where_it_is_told(updates: int, expected: float) -> None:
    rate = build(InverseSqrtConfig(warmup_updates=10, warmup_init_lr=0.2), peak_lr=1.0)

    assert expected == pytest.approx(rate(Progress(updates, epoch=1)))


def test_rate_depends_on_nothing_but_the_updates() -> None:
    rate = build(InverseSqrtConfig(), peak_lr=5e-4)

    assert rate(Progress(7_000, epoch=1)) == rate(Progress(7_000, epoch=9, max_updates=8_000))
    assert InverseSqrtConfig().horizon_free


def test_no_warmup_at_all_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        InverseSqrtConfig(warmup_updates=0)
