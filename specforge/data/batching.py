"""Which items an update is made of, and how an update is cut for the hardware.

An epoch is one random order of its items, chosen by (seed, epoch). The order is walked in windows; inside a window items
are sorted by length and cut into updates, the longest runs of whole items within the budget; the window's updates are then
shuffled. Nothing here knows of devices, and no array is larger than a window, however large the corpus.

An update is cut into micro-batches by `run.max_tokens` alone; which rank works on which of them is up to the trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from specforge.data.permutation import Permutation, shuffled
from specforge.foundation.errors import WrongInputError
from specforge.foundation.seeds import derived_seed

WINDOW: Final = 32_768
"""Items that are sorted by length together."""

Items: TypeAlias = NDArray[np.int64]
"""Numbers of items in the corpus, from 0."""


@dataclass(frozen=True, slots=True)
class Measures:
    """What batching must know of some items.

    Args:
        lengths: column role → [items] lengths in tokens, end of sentence counted.
        cost: [items] what each counts against `train.batch_tokens`.
        width: [items] longest side.
    """

    lengths: Mapping[str, NDArray[np.int64]]
    cost: NDArray[np.int64]
    width: NDArray[np.int64]

    def padded(self) -> int:
        """Return the size of the tensors that hold these items as one batch, padding counted."""
        return sum(len(column) * int(column.max()) for column in self.lengths.values())

    def real(self) -> int:
        """Return the number of tokens of all columns, padding not counted."""
        return sum(int(column.sum()) for column in self.lengths.values())


Measure: TypeAlias = Callable[[Items], Measures]
"""Measures any items of a corpus."""


@dataclass(frozen=True, slots=True)
class WeightedSegment:
    """A training corpus inside the prepared data.

    Args:
        start, stop: its items, stop excluded.
        weight: how often an epoch passes over it; the fraction is drawn anew in every epoch.
    """

    start: int
    stop: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Budget:
    """How much an update holds: exactly one of the two is given.

    Args:
        tokens: `train.batch_tokens`, in the task's cost.
        sentences: `train.batch_sentences`.
    """

    tokens: int | None = None
    sentences: int | None = None

    def costs(self, measures: Measures) -> NDArray[np.int64]:
        """Return what each item counts."""
        return measures.cost if self.sentences is None else np.ones_like(measures.cost)

    @property
    def size(self) -> int:
        """The most that an update may count."""
        size = self.tokens if self.sentences is None else self.sentences
        assert size is not None
        return size


@dataclass(frozen=True, slots=True)
class Update:
    """The items of one update.

    Args:
        epoch: number of the epoch, from 1.
        position: number of the update in its epoch, from 0.
        items: the items, shortest first.
        last: whether the epoch ends with it.
    """

    epoch: int
    position: int
    items: Items
    last: bool


class UpdatePlan:
    """The updates of all epochs: a pure function of (seed, epoch), the corpus and the budget.

    Args:
        segments: the training corpora; they hold at least one item.
        measure: measures items of the corpus.
        budget: how much an update holds; no item is larger (`check_items`).
        seed: the spec's seed.
    """

    def __init__(self, segments: Sequence[WeightedSegment], measure: Measure, budget: Budget, seed: int) -> None:
        self._segments = segments
        self._measure = measure
        self._budget = budget
        self._seed = seed

    def updates(self, epoch: int, position: int = 0) -> Iterator[Update]:
        """Yield the updates of an epoch in order, from the given one on."""
        order = _EpochOrder(self._segments, self._seed, epoch)
        number = 0
        for start in range(0, order.size, WINDOW):
            stop = min(start + WINDOW, order.size)
            runs = self._runs(order.items(start, stop))
            shuffle = shuffled(len(runs), derived_seed(self._seed, "updates", epoch, start))
            for rank, chosen in enumerate(shuffle):
                if number >= position:
                    last = stop == order.size and rank == len(runs) - 1
                    yield Update(epoch, number, runs[chosen], last)
                number += 1

    def count(self, epoch: int) -> int:
        """Return the number of updates of an epoch."""
        order = _EpochOrder(self._segments, self._seed, epoch)
        windows = range(0, order.size, WINDOW)
        return sum(len(self._runs(order.items(start, min(start + WINDOW, order.size)))) for start in windows)

    def _runs(self, items: Items) -> list[Items]:
        measures = self._measure(items)
        order = length_order(measures)
        costs = self._budget.costs(measures)[order]
        return [items[order[start:stop]] for start, stop in _longest_runs(costs, self._budget.size)]


class _EpochOrder:
    """The items of one epoch in a random order, each corpus as often as its weight says."""

    def __init__(self, segments: Sequence[WeightedSegment], seed: int, epoch: int) -> None:
        self._segments = segments
        self._draws = [
            _draw(segment, derived_seed(seed, "weight", epoch, number)) for number, segment in enumerate(segments)
        ]
        if not any(self._draws):
            # Small weights may draw nothing at all, and an epoch without an update would never end.
            self._draws[0] = 1
        self._ends = np.cumsum(self._draws)
        self.size = int(self._ends[-1])
        self._order = Permutation(self.size, derived_seed(seed, "order", epoch))
        self._parts = [
            Permutation(segment.stop - segment.start, derived_seed(seed, "part", epoch, number))
            for number, segment in enumerate(segments)
        ]

    def items(self, start: int, stop: int) -> Items:
        """Return the items at some positions of the order."""
        drawn = self._order(np.arange(start, stop, dtype=np.int64))
        numbers = np.searchsorted(self._ends, drawn, side="right")
        items = np.empty_like(drawn)
        for number, segment in enumerate(self._segments):
            mine = numbers == number
            inside = drawn[mine] - (self._ends[number] - self._draws[number])
            # Whole passes take every item; the part of a pass that is left over takes the first of a random order.
            items[mine] = segment.start + self._parts[number](inside % (segment.stop - segment.start))
        return items


def _draw(segment: WeightedSegment, seed: int) -> int:
    """Return how many items an epoch takes: the expected number, rounded up or down by chance."""
    size = segment.stop - segment.start
    passes = int(segment.weight)
    part, fraction = divmod((segment.weight - passes) * size, 1.0)
    return passes * size + int(part) + (seed / 2**63 < fraction)


def length_order(measures: Measures) -> NDArray[np.int64]:
    """Return an order of items in which neighbours are alike in all lengths, shortest first, ties left as they are.

    Items are sorted by width; among equal widths the sides change places from narrow target to narrow source, in turns
    up and down, so that both sides of a batch that spans two widths fit. On Multi30k this pads 3.1 % where sorting by
    source and then by target pads 4.7 %.
    """
    imbalance = 2 * measures.cost - sum(measures.lengths.values())
    return np.lexsort((np.where(measures.width % 2 == 0, imbalance, -imbalance), measures.width))


def _longest_runs(costs: NDArray[np.int64], budget: int) -> Iterator[tuple[int, int]]:
    ends = np.cumsum(costs)
    start, spent = 0, 0
    while start < len(costs):
        stop = int(np.searchsorted(ends, spent + budget, side="right"))
        assert stop > start, "check_items lets no item pass that is larger than the budget"
        yield start, stop
        start, spent = stop, int(ends[stop - 1])


def micro_batches(items: Items, widths: NDArray[np.int64], max_tokens: int) -> list[Items]:
    """Cut items into batches of at most `max_tokens` tokens, items x longest side.

    Args:
        items: [items] what to cut.
        widths: [items] longest side of each, none larger than `max_tokens`.
        max_tokens: `run.max_tokens`.

    Returns:
        The least number of batches that is possible with items sorted by width, the largest batch as small as that
        allows, widest items first.
    """
    order = np.argsort(widths, kind="stable")[::-1]
    descending = widths[order]
    fewest = len(_starts(descending, max_tokens))
    low, high = int(descending[0]), max_tokens
    while low < high:
        middle = (low + high) // 2
        if len(_starts(descending, middle)) <= fewest:
            high = middle
        else:
            low = middle + 1
    return np.split(items[order], _starts(descending, low)[1:])


def _starts(descending: NDArray[np.int64], capacity: int) -> list[int]:
    """Return where each batch begins when every batch takes as many items as it can hold."""
    starts = []
    start = 0
    while start < len(descending):
        starts.append(start)
        start += capacity // int(descending[start])
    return starts


_TRAINED: Final = "raise the limit, or leave out long items with `preprocess.max_length`"
_UNTRAINED: Final = "raise the limit, or shorten the text: `preprocess.max_length` leaves out items to train on only"


@dataclass(frozen=True, slots=True)
class _Limit:
    """The most that an item may be.

    Args:
        sizes: what is limited, for each of some measured items.
        most: the limit.
        unit: what it counts.
        whose: what sets it, and `allows`.
    """

    sizes: Callable[[Measures], NDArray[np.int64]]
    most: int
    unit: str
    whose: str


def check_items(
    items: int, measure: Measure, what: str, max_tokens: int, budget: Budget | None, positions: Mapping[str, int]
) -> None:
    """Refuse a corpus with an item that fits no update, no micro-batch or not the model.

    Args:
        items: size of the corpus.
        measure: measures its items.
        what: the corpus in words: `training data`.
        max_tokens: `run.max_tokens`.
        budget: how much an update holds; None for data that is not trained on.
        positions: column role → longest item that the model takes.

    Raises:
        WrongInputError: SF506, it names the first such item by its number, from 1, and the longest; SF504, there is no item.
    """
    if items == 0:
        raise WrongInputError("SF504", f"no item is left in the {what}")
    limits = [
        _Limit(partial(_side, role), most, f"{role} tokens", "the model's positions allow")
        for role, most in positions.items()
    ]
    if budget is not None:
        limits.append(_Limit(budget.costs, budget.size, "tokens that count", "`train.batch_tokens` allows"))
    limits.append(_Limit(attrgetter("width"), max_tokens, "tokens", "`run.max_tokens` allows"))
    for numbers, measures in windows(items, measure):
        for limit in limits:
            over = np.flatnonzero(limit.sizes(measures) > limit.most)
            if len(over):
                number, size = int(numbers[over[0]]) + 1, int(limit.sizes(measures)[over[0]])
                sizes = [limit.sizes(each) for _, each in windows(items, measure)]
                raise WrongInputError(
                    "SF506",
                    f"item {number:,} of the {what} has {size:,} {limit.unit}, end of sentence counted; "
                    f"{limit.whose} {limit.most:,}",
                    notes=(_how_many(sizes, limit.most),),
                    help=_UNTRAINED if budget is None else _TRAINED,
                )


def _side(role: str, measures: Measures) -> NDArray[np.int64]:
    return measures.lengths[role]


def windows(items: int, measure: Measure) -> Iterator[tuple[Items, Measures]]:
    """Yield the numbers and measures of all items of a corpus, a window at a time."""
    for start in range(0, items, WINDOW):
        numbers = np.arange(start, min(start + WINDOW, items), dtype=np.int64)
        yield numbers, measure(numbers)


def _how_many(sizes: Sequence[NDArray[np.int64]], most: int) -> str:
    """Say how many items are larger than a limit, and how large the largest is."""
    larger = sum(int((some > most).sum()) for some in sizes)
    longest = max(int(some.max()) for some in sizes)
    return "it is the only one" if larger == 1 else f"it is the first of {larger:,}; the longest has {longest:,}"
