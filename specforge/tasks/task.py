"""The contract of tasks: the extension point above models. Trainer and runner never name a task.

What must be known of a task before anything is computed (its columns, its steps, the family of its models) says its config,
`specforge.plugin.TaskConfig`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from specforge.criterions.criterion import Criterion, Loss
from specforge.data.batch import Batch
from specforge.data.blocks import TokenStream
from specforge.metrics.metric import Score
from specforge.models.model import Model

Item: TypeAlias = Mapping[str, NDArray[np.integer]]
"""Column role → token indices. Text ends with EOS; a label is one index."""

Span: TypeAlias = tuple[int, int]
"""Items [start, stop)."""


class ItemSource(Protocol):
    """Items that can be read one by one (`specforge.data.corpus.IndexedCorpus`)."""

    def __len__(self) -> int:
        """Return how many there are."""

    def lengths(self, items: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """Return the lengths of some items by column role: [items]."""

    def item(self, index: int) -> Item:
        """Return an item."""


class Lines(ItemSource, TokenStream, Protocol):
    """An item for each line of the data, which are one stream of tokens, too."""


@dataclass(frozen=True, slots=True)
class Arranged:
    """The items of a corpus as a task trains on them.

    Args:
        items: the items.
        spans: where the items of each part of the corpus went.
    """

    items: ItemSource
    spans: Sequence[Span]


@dataclass(frozen=True, slots=True)
class MeasuredText:
    """How much text a model was measured on.

    Args:
        lines: lines of the test.
        words: words between white space.
    """

    lines: int
    words: int


class Task(ABC):
    """What is learned: how items become batches, what an item costs, how a batch is trained on and validated."""

    @abstractmethod
    def cost(self, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return what each item counts against `train.batch_tokens`.

        Args:
            lengths: column role → [items] lengths in tokens, end of sentence counted.
        """

    @abstractmethod
    def width(self, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the longest side of each item, what padding is counted by (`run.max_tokens`)."""

    @abstractmethod
    def collate(self, items: Sequence[Item]) -> Batch:
        """Pad items into a batch of the kind that its family of models takes, in the given order."""

    def arranged(self, corpus: Lines, spans: Sequence[Span]) -> Arranged:
        """Return the items of a corpus: its lines, unless a task cuts text in another way.

        Args:
            corpus: an item for each line.
            spans: the parts of the corpus that must not run into each other.
        """
        return Arranged(corpus, spans)

    def arranged_test(self, corpus: Lines) -> ItemSource:
        """Return the items of a test, for a task that measures models without output."""
        return self.arranged(corpus, [(0, len(corpus))]).items

    def train_step(self, model: Model, criterion: Criterion, batch: Batch) -> Loss:
        """Return the summed loss of a micro-batch, ready for `backward`."""
        loss: Loss = criterion(model, batch)
        return loss

    def valid_step(self, model: Model, criterion: Criterion, batch: Batch) -> Loss:
        """Return the summed loss of a micro-batch of validation data, as in training."""
        return self.train_step(model, criterion, batch)

    def predict(self, model: Model, batch: Batch) -> Tensor:
        """Return the index of the predicted label of each item, [items] of int64; for tasks that predict without search."""
        raise NotImplementedError

    def measured(self, nll: float, count: int, text: MeasuredText) -> Sequence[Score]:
        """Return the scores of a test, for a task that measures models without output.

        Args:
            nll: negative log-likelihood, summed over the targets of the test, in nats.
            count: number of targets.
            text: what they were made of.
        """
        raise NotImplementedError

    def set_num_updates(self, updates: int) -> None:  # noqa: B027  # a task without a schedule has nothing to learn
        """Learn how many updates have been done (for schedules inside a task)."""
