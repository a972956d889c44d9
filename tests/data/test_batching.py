"""The laws of batching, and small cases that can be checked by eye."""

from __future__ import annotations

import gzip
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from specforge.data import batching
from specforge.data.batching import (
    Budget,
    Items,
    Measure,
    Measures,
    Update,
    UpdatePlan,
    WeightedSegment,
    check_items,
    length_order,
    micro_batches,
)
from specforge.foundation.errors import WrongInputError

_MULTI30K = Path(__file__).parents[3] / "shared" / "data" / "multi30k"
_LENGTHS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=200)


def _measure(lengths: list[tuple[int, int]]) -> Measure:
    source, target = (np.array(column, dtype=np.int64) for column in zip(*lengths, strict=True))

    def measure(items: Items) -> Measures:
        return Measures(
            {"source": source[items], "target": target[items]}, target[items], np.maximum(source, target)[items]
        )

    return measure


def _plan(lengths: list[tuple[int, int]], budget: Budget, seed: int = 1, weight: float = 1.0) -> UpdatePlan:
    return UpdatePlan([WeightedSegment(0, len(lengths), weight)], _measure(lengths), budget, seed)


def _items(updates: list[Update]) -> list[int]:
    return [int(item) for update in updates for item in update.items]


@given(lengths=_LENGTHS, seed=st.integers(0, 2**63 - 1), epoch=st.integers(1, 5))
def test_an_epoch_holds_every_item_exactly_once(lengths: list[tuple[int, int]], seed: int, epoch: int) -> None:
    updates = list(_plan(lengths, Budget(tokens=60), seed).updates(epoch))

    assert list(range(len(lengths))) == sorted(_items(updates))


@given(lengths=_LENGTHS, tokens=st.integers(30, 90))
def test_no_update_is_over_the_budget(lengths: list[tuple[int, int]], tokens: int) -> None:
    updates = list(_plan(lengths, Budget(tokens=tokens)).updates(epoch=1))

    assert all(sum(lengths[item][1] for item in update.items) <= tokens for update in updates)


@given(lengths=_LENGTHS, tokens=st.integers(30, 90))
def test_updates_are_the_longest_runs_of_items_in_order_of_length(lengths: list[tuple[int, int]], tokens: int) -> None:
    updates = list(_plan(lengths, Budget(tokens=tokens)).updates(epoch=1))
    # Shuffled updates, put back in the order in which they were cut; of equal items the rest comes last.
    cut = [_measure(lengths)(update.items) for update in updates]
    cut.sort(key=lambda measures: (_place(measures, 0), _place(measures, -1), -len(measures.cost)))

    for earlier, later in pairwise(cut):
        assert earlier.cost.sum() + later.cost[0] > tokens


def _place(measures: Measures, item: int) -> tuple[int, int]:
    imbalance = int(measures.lengths["target"][item] - measures.lengths["source"][item])
    return int(measures.width[item]), imbalance if measures.width[item] % 2 == 0 else -imbalance


def test_batch_sentences_counts_items() -> None:
    updates = list(_plan([(9, 9)] * 10, Budget(sentences=4)).updates(epoch=1))

    assert [2, 4, 4] == sorted(len(update.items) for update in updates)


@given(lengths=_LENGTHS, position=st.integers(0, 20))
def test_an_epoch_can_be_entered_at_any_update(lengths: list[tuple[int, int]], position: int) -> None:
    plan = _plan(lengths, Budget(tokens=60))
    whole = list(plan.updates(epoch=2))

    entered = list(plan.updates(epoch=2, position=position))

    assert [(update.position, update.items.tolist()) for update in whole[position:]] == [
        (update.position, update.items.tolist()) for update in entered
    ]


@given(lengths=_LENGTHS)
def test_updates_are_numbered_and_the_last_one_says_so(lengths: list[tuple[int, int]]) -> None:
    plan = _plan(lengths, Budget(tokens=60))
    updates = list(plan.updates(epoch=1))

    assert list(range(plan.count(1))) == [update.position for update in updates]
    assert [update.last for update in updates] == [False] * (len(updates) - 1) + [True]


def test_epochs_and_seeds_differ_in_what_comes_together_and_in_order() -> None:
    lengths = [(5, 5)] * 60
    orders = {
        tuple(_items(list(_plan(lengths, Budget(tokens=50), seed).updates(epoch))))
        for seed in (1, 2)
        for epoch in (1, 2)
    }

    assert 4 == len(orders)


@settings(max_examples=30)
@given(lengths=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=80))
def test_windows_lose_no_item_and_repeat_none(lengths: list[tuple[int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "WINDOW", 7)
        updates = list(_plan(lengths, Budget(tokens=20)).updates(epoch=3))

    assert list(range(len(lengths))) == sorted(_items(updates))
    assert [False] * (len(updates) - 1) + [True] == [update.last for update in updates]


def test_no_window_is_sorted_across_its_border() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "WINDOW", 10)
        measured: list[int] = []
        measure = _measure([(3, 3)] * 95)

        def counting(items: Items) -> Measures:
            measured.append(len(items))
            return measure(items)

        list(UpdatePlan([WeightedSegment(0, 95)], counting, Budget(tokens=9), seed=1).updates(epoch=1))

    assert [10] * 9 + [5] == measured


@pytest.mark.parametrize(("weight", "most", "least"), [(1.0, 1, 1), (2.0, 2, 2), (0.5, 1, 0), (2.5, 3, 2)])
def test_a_weight_says_how_often_an_epoch_passes_over_a_corpus(weight: float, most: int, least: int) -> None:
    plan = _plan([(4, 4)] * 40, Budget(tokens=40), weight=weight)
    counts = Counter(_items(list(plan.updates(epoch=1))))

    assert round(40 * weight) == sum(counts.values())
    assert {most, least} == {counts[item] for item in range(40)}


def test_a_fraction_takes_other_items_in_every_epoch() -> None:
    plan = _plan([(4, 4)] * 40, Budget(tokens=40), weight=0.5)
    chosen = {tuple(sorted(_items(list(plan.updates(epoch))))) for epoch in range(1, 6)}

    assert 5 == len(chosen)


def test_a_fraction_of_an_item_comes_by_chance() -> None:
    plan = UpdatePlan(
        [WeightedSegment(0, 1, 1.0), WeightedSegment(1, 2, 0.25)], _measure([(1, 1)] * 2), Budget(sentences=9), seed=1
    )
    with_it = sum(1 in _items(list(plan.updates(epoch))) for epoch in range(1, 401))

    assert 60 < with_it < 140  # 100 expected, the deviation is 8.7


def test_an_epoch_is_never_empty() -> None:
    plan = _plan([(1, 1)], Budget(sentences=1), weight=0.001)

    assert [[0]] * 20 == [_items(list(plan.updates(epoch))) for epoch in range(1, 21)]


def test_corpora_are_mixed() -> None:
    plan = UpdatePlan(
        [WeightedSegment(0, 30), WeightedSegment(30, 60)], _measure([(4, 4)] * 60), Budget(tokens=40), seed=1
    )

    assert any({item < 30 for item in update.items.tolist()} == {True, False} for update in plan.updates(epoch=1))


@given(lengths=_LENGTHS, max_tokens=st.integers(30, 300))
def test_micro_batches_hold_every_item_once_within_the_limit(lengths: list[tuple[int, int]], max_tokens: int) -> None:
    items = np.arange(100, 100 + len(lengths), dtype=np.int64)
    widths = np.array([max(pair) for pair in lengths], dtype=np.int64)

    cut = micro_batches(items, widths, max_tokens)

    assert items.tolist() == sorted(int(item) for batch in cut for item in batch)
    assert all(len(batch) * widths[batch - 100].max() <= max_tokens for batch in cut)
    assert all(widths[earlier - 100].min() >= widths[later - 100].max() for earlier, later in pairwise(cut))


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12), max_tokens=st.integers(9, 40))
def test_no_other_cut_has_fewer_or_smaller_micro_batches(lengths: list[int], max_tokens: int) -> None:
    widths = np.array(lengths, dtype=np.int64)
    descending = sorted(lengths, reverse=True)
    sizes: dict[int, int] = {}  # number of batches → smallest possible largest batch, over all ways to cut
    for ways in range(2 ** (len(lengths) - 1)):
        ends = [*(n + 1 for n in range(len(lengths) - 1) if ways >> n & 1), len(lengths)]
        largest = max(descending[start] * (end - start) for start, end in zip([0, *ends], ends, strict=False))
        sizes[len(ends)] = min(largest, sizes.get(len(ends), largest))
    fewest = min(count for count, largest in sizes.items() if largest <= max_tokens)

    cut = micro_batches(np.arange(len(lengths)), widths, max_tokens)

    assert fewest == len(cut)
    assert sizes[fewest] == max(len(batch) * int(widths[batch].max()) for batch in cut)


def test_a_cut_by_eye() -> None:
    # Taking as much as fits, at most 12 tokens: [9] [6 5] [5 2] [2 2 1]. Four batches do with 10 tokens as well.
    widths = np.array([2, 9, 5, 1, 2, 6, 5, 2], dtype=np.int64)

    cut = micro_batches(np.arange(8), widths, max_tokens=12)

    assert [[9], [6], [5, 5], [2, 2, 2, 1]] == [widths[batch].tolist() for batch in cut]


def test_neighbours_in_length_order_are_alike_in_both_lengths() -> None:
    # Width 2 goes from narrow target to narrow source, width 3 the other way round.
    lengths = [(3, 1), (2, 1), (1, 3), (1, 2), (3, 3), (2, 2)]

    order = length_order(_measure(lengths)(np.arange(6)))

    assert [(2, 1), (2, 2), (1, 2), (1, 3), (3, 3), (3, 1)] == [lengths[place] for place in order]


def test_measures_count_padding() -> None:
    measures = _measure([(3, 5), (4, 2)])(np.arange(2))

    assert (3 + 5 + 4 + 2, 2 * 4 + 2 * 5) == (measures.real(), measures.padded())


@pytest.mark.parametrize(
    ("budget", "max_tokens", "positions", "message"),
    [
        (
            Budget(tokens=6),
            100,
            {},
            r"item 3 of the training data has 7 tokens that count.*`train.batch_tokens` allows 6",
        ),
        (Budget(tokens=9), 8, {}, r"item 2 of the training data has 9 tokens.*`run.max_tokens` allows 8"),
        (None, 100, {"source": 8}, r"item 2 .* has 9 source tokens.*positions allow 8"),
    ],
)
def test_an_item_that_fits_nowhere_is_named(
    budget: Budget | None, max_tokens: int, positions: dict[str, int], message: str
) -> None:
    with pytest.raises(WrongInputError, match=message) as caught:
        check_items(3, _measure([(1, 5), (9, 5), (1, 7)]), "training data", max_tokens, budget, positions)

    assert "SF506" == caught.value.code


@pytest.mark.parametrize(("limit", "note"), [(6, "it is the first of 3; the longest has 9"), (8, "it is the only one")])
def test_how_far_to_raise_a_limit_is_said(limit: int, note: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "WINDOW", 2)
    measure = _measure([(7, 5), (1, 5), (8, 5), (9, 5), (1, 6)])

    with pytest.raises(WrongInputError) as caught:
        check_items(5, measure, "training data", limit, Budget(tokens=9), {})

    assert (note,) == caught.value.notes


def test_only_items_to_train_on_can_be_left_out() -> None:
    for what, budget, advice in (
        ("training data", Budget(tokens=9), "raise the limit, or leave out long items with `preprocess.max_length`"),
        (
            "validation data",
            None,
            "raise the limit, or shorten the text: `preprocess.max_length` leaves out items to train on only",
        ),
    ):
        with pytest.raises(WrongInputError) as caught:
            check_items(1, _measure([(9, 5)]), what, 8, budget, {})

        assert advice == caught.value.help


def test_items_that_just_fit_pass() -> None:
    measure = _measure([(8, 6)])

    check_items(1, measure, "training data", 8, Budget(tokens=6), {"source": 8, "target": 6})
    check_items(1, measure, "training data", 8, Budget(sentences=1), {})


def test_a_corpus_without_items_is_refused() -> None:
    def nothing(items: Items) -> Measures:
        empty: NDArray[np.int64] = np.zeros(len(items), dtype=np.int64)
        return Measures({"source": empty}, empty, empty)

    with pytest.raises(WrongInputError, match="no item is left in the training data") as caught:
        check_items(0, nothing, "training data", 8, Budget(tokens=6), {})

    assert "SF504" == caught.value.code


@pytest.mark.skipif(not _MULTI30K.is_dir(), reason="the corpora are not at hand")
@pytest.mark.parametrize(("tokens", "max_tokens"), [(2_000, 8_000), (4_000, 4_000), (4_000, 2_000)])
def test_less_than_a_twentieth_of_the_tokens_of_multi30k_is_padding(tokens: int, max_tokens: int) -> None:
    sides = (gzip.decompress((_MULTI30K / f"train.{language}.gz").read_bytes()) for language in ("en", "de"))
    words = ([len(line.split()) + 1 for line in side.decode().strip("\n").split("\n")] for side in sides)
    lengths = list(zip(*words, strict=True))
    measure = _measure(lengths)
    real = padded = 0

    for update in _plan(lengths, Budget(tokens=tokens)).updates(epoch=1):
        measured = measure(update.items)
        real += measured.real()
        padded += sum(measure(cut).padded() for cut in micro_batches(update.items, measured.width, max_tokens))

    assert len(lengths) == 29_000
    assert 0.0 < (padded - real) / padded < 0.05
