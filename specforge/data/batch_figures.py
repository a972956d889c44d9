"""What the updates of an epoch look like: items, tokens, micro-batches and padding, by the batching code itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

from specforge.data.batching import Items, Measure, UpdatePlan, micro_batches

_MOST_UPDATES: Final = 500
"""Updates that are looked at. The first ones of an epoch are as good as any: their order is random."""


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """Figures of the updates that were looked at.

    Args:
        updates: how many there were.
        whole: whether they are a whole epoch.
        items, cost, pieces: mean and maximum over updates of the items, of what they count by `train.batch_tokens`, and
            of the micro-batches.
        real: tokens of all columns, the mean of an update.
        padded: the same, padding counted.
        squares: items x (sum of the longest sides)² of the micro-batches, the mean of an update.
        largest: the items of the micro-batch with most padded tokens.
    """

    updates: int
    whole: bool
    items: tuple[float, int]
    cost: tuple[float, int]
    pieces: tuple[float, int]
    real: float
    padded: float
    squares: float
    largest: Items


def batch_figures(plan: UpdatePlan, measure: Measure, max_tokens: int) -> BatchFigures:
    """Look at the updates of the first epoch, at most a few hundred.

    Args:
        plan: the updates.
        measure: measures their items.
        max_tokens: `run.max_tokens`; no item is wider.
    """
    items: list[int] = []
    cost: list[int] = []
    pieces: list[int] = []
    real = padded = squares = most = 0
    whole = False
    largest: Items | None = None
    for update in islice(plan.updates(epoch=1), _MOST_UPDATES):
        whole = update.last
        measures = measure(update.items)
        batches = micro_batches(update.items, measures.width, max_tokens)
        items.append(len(update.items))
        cost.append(int(measures.cost.sum()))
        pieces.append(len(batches))
        real += measures.real()
        for batch in batches:
            of_batch = measure(batch)
            size = of_batch.padded()
            padded += size
            squares += size * size // len(batch)
            if size > most:
                largest, most = batch, size
    assert largest is not None, "an epoch has at least one update"
    updates = len(items)
    return BatchFigures(
        updates,
        whole,
        _spread(items),
        _spread(cost),
        _spread(pieces),
        real / updates,
        padded / updates,
        squares / updates,
        largest,
    )


def _spread(counts: list[int]) -> tuple[float, int]:
    return sum(counts) / len(counts), max(counts)
