"""The table of fairseq's `fixed`: constant, then lr_shrink ^ (epoch + 1 - force_anneal)."""

from __future__ import annotations

import pytest

from specforge.lr_schedulers.fixed import FixedConfig, build
from specforge.plugin import Progress


def test_rate_is_constant_by_default() -> None:
    rate = build(FixedConfig(), peak_lr=0.25)

    assert [0.25] * 3 == [rate(Progress(updates, epoch)) for updates, epoch in [(0, 1), (10, 2), (99_999, 80)]]


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(1, 0.5), (49, 0.5), (50, 0.05), (51, 0.005), (52, 0.0005)],
)
def test_rate_shrinks_with_every_epoch_from_force_anneal_on(epoch: int, expected: float) -> None:
    rate = build(FixedConfig(force_anneal=50), peak_lr=0.5)

    assert expected == pytest.approx(rate(Progress(updates=1_000 * epoch, epoch=epoch)))


@pytest.mark.parametrize(("updates", "expected"), [(0, 0.25), (1, 0.5), (2, 0.75), (3, 1.0), (4, 1.0)])
def test_first_update_of_the_warmup_already_moves(updates: int, expected: float) -> None:
    rate = build(FixedConfig(warmup_updates=4), peak_lr=1.0)

    assert expected == pytest.approx(rate(Progress(updates, epoch=1)))


def test_warmup_and_annealing_multiply() -> None:
    rate = build(FixedConfig(warmup_updates=10, force_anneal=1, lr_shrink=0.5), peak_lr=1.0)

    # epoch 2 of an annealing from epoch 1 on: 0.5 ^ 2; update 4 of a warm-up of 10: 5 / 10
    assert 0.125 == pytest.approx(rate(Progress(updates=4, epoch=2)))
