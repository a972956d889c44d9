"""`test SPEC data`: the data read, cut and batched, and how fast that goes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from specforge.data.batching import Items, micro_batches
from specforge.data.readers import Row, RowRemarks
from specforge.execution.questions.text_findings import DataFindings, Example, LengthBucket
from specforge.planning.estimates import Spread
from specforge.steps.corpora import split_rows
from specforge.steps.parts import task_config
from specforge.steps.prepared import Prepared
from specforge.steps.trial.workbench import Workbench

_SECONDS: Final = 1.0
"""How long reading, cutting and batching are timed, each."""

_MOST_UPDATES: Final = 2_000
_CHUNK: Final = 1_000
_EXAMPLES: Final = 3
_FIRST_BUCKET: Final = 8


def try_data(bench: Workbench, warnings: list[str]) -> DataFindings:
    """Try the data.

    Args:
        bench: has them.
        warnings: takes what is odd.

    Raises:
        WrongInputError: a file is wrong, or an item is longer than an update or a micro-batch.
    """
    prepared = bench.prepared
    read, left_out = _filtered(prepared.folder)
    updates = list(islice(bench.plan().updates(epoch=1), _MOST_UPDATES))
    sizes = [_sizes(bench, update.items) for update in updates]
    items, tokens, pieces, padded, real = (np.array(column) for column in zip(*sizes, strict=True))
    pace = _batching_pace(bench, [update.items for update in updates])
    padding = 1 - float(real.sum()) / float(padded.sum())
    found = DataFindings(
        read=read,
        kept=len(prepared.train),
        left_out=left_out,
        valid=len(prepared.valid),
        rows_per_second=_reading_pace(bench),
        cut_rows_per_second=_cutting_pace(bench),
        updates=len(updates),
        epoch=updates[-1].last,
        items_per_update=_spread(items),
        target_tokens_per_update=_spread(tokens),
        micro_batches_per_update=_spread(pieces),
        padding=padding,
        batches_per_second=pace[0],
        items_per_second=pace[1],
        target_tokens_per_second=pace[2],
        lengths=list(_histogram(_lengths(prepared))),
        examples=list(_examples(bench)),
        unit=task_config(bench.settings["task"]).unit,
    )
    warnings += _oddities(found)
    return found


def _oddities(found: DataFindings) -> Iterator[str]:
    lost = sum(found.left_out.values())
    if lost > found.read / 5:
        yield f"{lost / found.read:.0%} of the training items are left out by [preprocess]"
    if found.padding > 1 / 5:
        yield f"{found.padding:.0%} of the places in batches are padding"


def _filtered(folder: Path) -> tuple[int, dict[str, int]]:
    """Return how many training items were read, and why some were left out."""
    train = json.loads((folder / "summary.json").read_bytes())["splits"]["train"]
    return int(train["read"]), {str(reason): int(count) for reason, count in train["left_out"].items()}


def _sizes(bench: Workbench, items: Items) -> tuple[int, int, int, int, int]:
    """Return items, target tokens, micro-batches, padded and real places of an update."""
    measures = bench.measure(items)
    cut = micro_batches(items, measures.width, bench.where.max_tokens)
    padded = sum(bench.measure(piece).padded() for piece in cut)
    return len(items), int(measures.cost.sum()), len(cut), padded, measures.real()


def _spread(values: NDArray[np.int64]) -> Spread:
    return Spread(mean=float(values.mean()), most=int(values.max()))


def _batching_pace(bench: Workbench, updates: list[Items]) -> tuple[float, float, float]:
    """Return batches, items and target tokens per second, padded batches made one after the other."""
    batches = items = tokens = 0
    began = time.monotonic()
    for update in updates:
        for piece in micro_batches(update, bench.measure(update).width, bench.where.max_tokens):
            bench.collated(piece)
            cost = int(bench.measure(piece).cost.sum())
            batches, items, tokens = batches + 1, items + len(piece), tokens + cost
        if time.monotonic() - began > _SECONDS:
            break
    seconds = time.monotonic() - began
    return batches / seconds, items / seconds, tokens / seconds


def _reading_pace(bench: Workbench) -> float:
    """Return how many rows of the training text are read in a second."""
    rows = 0
    began = time.monotonic()
    reading = _rows(bench)
    while chunk := list(islice(reading, _CHUNK)):
        rows += len(chunk)
        if time.monotonic() - began > _SECONDS:
            break
    return rows / (time.monotonic() - began)


def _rows(bench: Workbench) -> Iterator[Row]:
    return split_rows(bench.job, "train", RowRemarks())


def _cutting_pace(bench: Workbench) -> float:
    """Return how many rows are read and cut into pieces in a second, by one process."""
    tokenizer, columns = bench.tokenizer, task_config(bench.settings["task"]).columns()
    rows = 0
    began = time.monotonic()
    reading = _rows(bench)
    while chunk := list(islice(reading, _CHUNK)):
        for place, column in enumerate(columns):
            if not column.labels:
                tokenizer.encode(column.role, [row[place] for row in chunk])
        rows += len(chunk)
        if time.monotonic() - began > _SECONDS:
            break
    return rows / (time.monotonic() - began)


def _lengths(prepared: Prepared) -> dict[str, NDArray[np.int64]]:
    """Return the lengths of all training items by role, labels left out."""
    lengths = prepared.train.lengths(np.arange(len(prepared.train), dtype=np.int64))
    return {role: lengths[role] for role in prepared.vocabularies}


def _histogram(lengths: dict[str, NDArray[np.int64]]) -> Iterator[LengthBucket]:
    """Yield buckets that double in width, from the first to the last with an item."""
    longest = max(int(column.max()) for column in lengths.values())
    low, high = 1, _FIRST_BUCKET
    while low <= longest:
        items = {role: int(((column >= low) & (column <= high)).sum()) for role, column in lengths.items()}
        yield LengthBucket(shortest=low, longest=high, items=items)
        low, high = high + 1, 2 * high


def _examples(bench: Workbench) -> Iterator[Example]:
    """Yield items from the beginning, the middle and the end of the training data."""
    prepared = bench.prepared
    numbers = np.unique(np.linspace(0, len(prepared.train) - 1, _EXAMPLES).astype(int))
    for number in numbers:
        item = prepared.train.item(int(number))
        pieces = {role: known.pieces(map(int, item[role])) for role, known in prepared.vocabularies.items()}
        labels = {role: [known[int(item[role][0])]] for role, known in prepared.labels.items()}
        yield Example(pieces=pieces | labels)
