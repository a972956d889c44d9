"""The table of fairseq's `tri_stage`: up from peak · init_lr_scale, level, then peak · final_lr_scale ^ (t / d)."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from specforge.lr_schedulers.tri_stage import TriStageConfig, build
from specforge.plugin import Progress


def rate(config: TriStageConfig, updates: int, max_updates: int | None = None) -> float:
    """Return the rate of the update that follows `updates`, at a peak of 2."""
    return build(config, peak_lr=2.0)(Progress(updates, epoch=1, max_updates=max_updates))


@pytest.mark.parametrize(
    ("updates", "expected"),
    # from 0.4 to 2 in 4 updates, 3 at 2, then a root of 0.01 = 0.1 every 2 updates
    [(0, 0.4), (1, 0.8), (3, 1.6), (4, 2.0), (6, 2.0), (7, 2.0), (9, 0.2), (11, 0.02), (12, 0.02), (999, 0.02)],
)
@pytest.mark.parametrize("by_shares", [False, True])
def test_three_stages(updates: int, expected: float, *, by_shares: bool) -> None:
    if by_shares:  # of 11 updates: 4, 3 and 4
        config = TriStageConfig(phase_ratio=(4.2 / 11, 3.1 / 11, 3.7 / 11), init_lr_scale=0.2)
        if 7 < updates < 11:
            expected = 2 * 0.01 ** ((updates - 7) / 3)  # 3.7 updates are 3
    else:
        config = TriStageConfig(warmup_updates=4, hold_updates=3, decay_updates=4, init_lr_scale=0.2)

    assert expected == pytest.approx(rate(config, updates, max_updates=11))


@pytest.mark.parametrize("config", [TriStageConfig(), TriStageConfig(phase_ratio=(0.1, 0.4, 0.5))])
def test_without_stages_it_warms_up_for_a_tenth_and_decays_over_half_of_the_budget(config: TriStageConfig) -> None:
    rates = [rate(config, updates, max_updates=20) for updates in (0, 1, 2, 9, 10, 15, 20)]

    # one 1.98 / 2 a step from 0.02 on; in the middle of the decay the root of a hundredth
    assert [0.02, 1.01, 2.0, 2.0, 2.0, 0.2, 0.02] == pytest.approx(rates)


def test_stages_may_be_left_out() -> None:
    assert 2.0 == rate(TriStageConfig(hold_updates=5), updates=0)
    assert 0.02 == pytest.approx(rate(TriStageConfig(hold_updates=5), updates=5))
    assert 2.0 == rate(TriStageConfig(decay_updates=5), updates=0)


def test_only_stages_in_updates_make_it_free_of_the_budget() -> None:
    config = TriStageConfig()

    assert not config.horizon_free
    assert TriStageConfig(warmup_updates=4).horizon_free
    with pytest.raises(ValueError, match="max_updates"):
        rate(config, updates=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"phase_ratio": (0.1, 0.4, 0.5), "hold_updates": 1}, "`phase_ratio` and `hold_updates` exclude each other"),
        ({"phase_ratio": (0.1, 0.4, 0.4)}, "do not add up to 1"),
    ],
)
def test_stages_are_given_once_and_whole(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TriStageConfig.model_validate(values)
