"""Figures of updates, against a corpus whose updates can be listed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from specforge.data.batch_figures import batch_figures
from specforge.data.batching import Budget, Items, Measure, Measures, UpdatePlan, WeightedSegment


def measure_of(source: NDArray[np.int64], target: NDArray[np.int64]) -> Measure:
    def measure(items: Items) -> Measures:
        lengths = {"source": source[items], "target": target[items]}
        return Measures(lengths, lengths["target"], np.maximum(*lengths.values()))

    return measure


def test_an_epoch_by_hand() -> None:
    # Sorted by width and cut by 6 target tokens: {2, 2, 2} and {3, 3}. The first is 3 items wide 4 and takes two
    # micro-batches of at most 8 tokens: two items and one; the second is 2 items wide 5, which is one each.
    target = np.array([2, 3, 2, 3, 2])
    source = np.array([4, 5, 4, 5, 4])
    measure = measure_of(source, target)
    plan = UpdatePlan([WeightedSegment(0, 5)], measure, Budget(tokens=6), seed=1)

    found = batch_figures(plan, measure, max_tokens=8)

    assert (2, True) == (found.updates, found.whole)
    assert (2.5, 3) == found.items
    assert (6.0, 6) == found.cost
    assert (2.0, 2) == found.pieces
    assert (22 + 12) / 2 == found.real == found.padded  # 3 x (4 + 2) + 2 x (5 + 3), no padding at all
    # two items of 4 + 2 tokens: 2 x 36, one: 36; one of 5 + 3, twice: 64
    assert (2 * 36 + 36 + 2 * 64) / 2 == found.squares
    assert 2 == len(found.largest)


def test_padding_is_counted_in_each_micro_batch() -> None:
    measure = measure_of(np.array([1, 4]), np.array([1, 4]))
    plan = UpdatePlan([WeightedSegment(0, 2)], measure, Budget(sentences=2), seed=1)

    together, apart = batch_figures(plan, measure, max_tokens=8), batch_figures(plan, measure, max_tokens=4)

    assert (10, 16) == (together.real, together.padded)
    assert (10, 10) == (apart.real, apart.padded)


@pytest.mark.parametrize("items", [500, 501])
def test_only_some_hundred_updates_are_looked_at(items: int) -> None:
    measure = measure_of(np.ones(items, np.int64), np.ones(items, np.int64))
    plan = UpdatePlan([WeightedSegment(0, items)], measure, Budget(sentences=1), seed=1)

    found = batch_figures(plan, measure, max_tokens=4)

    assert 500 == found.updates
    assert found.whole is (items == 500)
