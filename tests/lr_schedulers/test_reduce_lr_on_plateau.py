"""The rate follows validation as PyTorch's ReduceLROnPlateau would have it, as a pure function of the history."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Parameter
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau

from specforge.lr_schedulers.reduce_lr_on_plateau import ReduceLROnPlateauConfig, build
from specforge.plugin import Progress, Validated


def rate(config: ReduceLROnPlateauConfig, values: list[float], updates: int | None = None) -> float:
    """Return the rate at a peak of 1 after validations every 10 updates."""
    validations = tuple(Validated(10 * (nth + 1), value) for nth, value in enumerate(values))
    done = 10 * len(values) if updates is None else updates
    return build(config, peak_lr=1.0)(Progress(done, epoch=1, validations=validations))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 1.0),
        ([5.0], 1.0),
        ([5.0, 4.0], 1.0),
        ([5.0, 4.0, 4.0], 0.5),
        ([5.0, 4.0, 4.0, 3.0], 0.5),  # it never rises again
        ([5.0, 4.0, 4.5, 4.4], 0.25),  # better than the last one, not than the best
    ],
)
def test_every_validation_without_a_new_best_shrinks_it(values: list[float], expected: float) -> None:
    assert expected == rate(ReduceLROnPlateauConfig(lr_shrink=0.5), values)


@pytest.mark.parametrize(("worse", "expected"), [(1, 1.0), (2, 1.0), (3, 0.1), (5, 0.1), (6, 0.01)])
def test_patience_counts_anew_after_each_plateau(worse: int, expected: float) -> None:
    assert expected == pytest.approx(rate(ReduceLROnPlateauConfig(lr_patience=2), [1.0, *[2.0] * worse]))


@pytest.mark.parametrize(
    ("values", "expected"),
    # a tenth better than 10 is 9; a tenth better than a BLEU of 20 is 22
    [([10.0, 9.01], 0.1), ([10.0, 8.99], 1.0), ([-20.0, -21.9], 0.1), ([-20.0, -22.1], 1.0)],
)
def test_better_is_a_share_of_the_best_in_either_direction(values: list[float], expected: float) -> None:
    assert expected == pytest.approx(rate(ReduceLROnPlateauConfig(lr_threshold=0.1), values))


@pytest.mark.parametrize("values", [[1.0, float("nan")], [float("nan")], [float("nan"), 2.0, 1.0]])
def test_a_value_that_is_no_number_is_no_better(values: list[float]) -> None:
    assert 0.1 == pytest.approx(rate(ReduceLROnPlateauConfig(), values))


@pytest.mark.parametrize(("updates", "expected"), [(0, 0.2), (5, 0.4), (15, 0.8), (20, 1.0), (30, 1.0)])
def test_validations_of_the_warmup_do_not_count(updates: int, expected: float) -> None:
    config = ReduceLROnPlateauConfig(warmup_updates=20, warmup_init_lr=0.2)

    # 1, 2 are of the warm-up (its last update counts as such); 3 is the first to count
    values = [1.0, 2.0, 3.0][: updates // 10]
    assert expected == pytest.approx(rate(config, values, updates))


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("patience", [0, 1, 3])
def test_it_is_pytorchs(mode: str, patience: int) -> None:
    optimizer = SGD([Parameter(torch.zeros(1))], lr=1.0)
    theirs = ReduceLROnPlateau(optimizer, mode, factor=0.5, patience=patience, threshold=0.05, eps=0.0)  # type: ignore[arg-type]
    config = ReduceLROnPlateauConfig(lr_shrink=0.5, lr_patience=patience, lr_threshold=0.05)
    figures = (torch.rand(60, generator=torch.Generator().manual_seed(7)) + 1).tolist()

    for count, figure in enumerate(figures, start=1):
        theirs.step(figure)
        values = [value if mode == "min" else -value for value in figures[:count]]
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate(config, values), rel=1e-12)


def test_a_run_may_go_on_past_its_budget() -> None:
    assert ReduceLROnPlateauConfig().horizon_free
