"""From the plan of updates to batches: cut, read and padded one update ahead, while the present one is computed."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from specforge.data.batch import Batch
from specforge.data.batching import Items, Measure, Update, UpdatePlan, micro_batches
from specforge.tasks.task import Task
from specforge.training.parallel.process import Parallel


class Corpus(Protocol):
    """Prepared data that can be read item by item (`specforge.data.corpus.IndexedCorpus`)."""

    def item(self, index: int) -> Mapping[str, NDArray[np.integer]]:
        """Return an item: column role → token indices."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """A piece of an update that fits the device.

    Args:
        number: its number in the update, over all processes.
        batch: the items.
        items: their numbers in the prepared corpus.
        counts: False for a piece that another process works on as well: a process without work of its own computes one
            with weight zero, because all of them must take part in summing the gradients.
    """

    number: int
    batch: Batch
    items: Items
    counts: bool


@dataclass(frozen=True, slots=True)
class PreparedUpdate:
    """An update as one process works on it.

    Args:
        update: its place in the plan.
        pieces: this process's share; every process has equally many.
        tokens: of the whole update, in the task's cost.
        real: tokens of all columns of the whole update.
        padded: the same, padding counted.
        waited: seconds until it was ready.
    """

    update: Update
    pieces: Sequence[MicroBatch]
    tokens: int
    real: int
    padded: int
    waited: float = 0.0


class UpdateLoader:
    """Prepares updates for one process.

    Args:
        plan: which items an update is made of.
        corpus: the items.
        measure: measures them.
        task: makes batches of them.
        max_tokens: `run.max_tokens`.
        parallel: this process among all.
    """

    def __init__(
        self, plan: UpdatePlan, corpus: Corpus, measure: Measure, task: Task, max_tokens: int, parallel: Parallel
    ) -> None:
        self._plan = plan
        self._corpus = corpus
        self._measure = measure
        self._task = task
        self._max_tokens = max_tokens
        self._parallel = parallel
        self._pins = parallel.device.type == "cuda"

    def updates_in(self, epoch: int) -> int:
        """Return the number of updates of an epoch."""
        return self._plan.count(epoch)

    def place_after(self, epoch: int, position: int, updates: int) -> tuple[int, int]:
        """Return the epoch and position that lie some updates of the plan further on."""
        position += updates
        while position >= (size := self._plan.count(epoch)):
            epoch, position = epoch + 1, position - size
        return epoch, position

    def updates(self, epoch: int, position: int) -> Generator[PreparedUpdate]:
        """Yield all updates from a place in the plan on, without end; close it to end the thread behind it."""
        planned = self._planned(epoch, position)
        with ThreadPoolExecutor(1, "batches", initializer=self._begin) as thread:
            ahead = thread.submit(self._prepare, planned)
            while True:
                began = time.monotonic()
                prepared = ahead.result()
                waited = time.monotonic() - began
                ahead = thread.submit(self._prepare, planned)
                yield replace(prepared, waited=waited)

    def _planned(self, epoch: int, position: int) -> Iterator[Update]:
        while True:
            yield from self._plan.updates(epoch, position)
            epoch, position = epoch + 1, 0

    def _prepare(self, planned: Iterator[Update]) -> PreparedUpdate:
        update = next(planned)
        measures = self._measure(update.items)
        cut = micro_batches(update.items, measures.width, self._max_tokens)
        mine, turns = self._parallel.mine(len(cut))
        pieces = [MicroBatch(number, self._batch(cut[number]), cut[number], counts=True) for number in mine]
        if len(pieces) < turns:
            # The last piece has the shortest items.
            pieces.append(MicroBatch(len(cut) - 1, self._batch(cut[-1]), cut[-1], counts=False))
        return PreparedUpdate(
            update,
            pieces,
            tokens=int(measures.cost.sum()),
            real=measures.real(),
            padded=sum(self._measure(items).padded() for items in cut),
        )

    def _begin(self) -> None:
        # Each thread has a GPU of its own to begin with: the machine's first.
        if self._pins and self._parallel.device.index is not None:
            torch.cuda.set_device(self._parallel.device)

    def _batch(self, items: Items) -> Batch:
        batch = self._task.collate([self._corpus.item(int(item)) for item in items])
        return batch.pinned() if self._pins else batch
