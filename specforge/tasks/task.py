"""The contract of tasks: the extension point above models. Trainer and runner never name a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from specforge.criterions.criterion import Criterion, Loss
from specforge.data.batch import Batch
from specforge.models.model import EncoderDecoder


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
    def collate(self, items: Sequence[Mapping[str, NDArray[np.integer]]]) -> Batch:
        """Pad items (column role → token indices, EOS at the end) into a batch, in the given order."""

    @abstractmethod
    def train_step(self, model: EncoderDecoder, criterion: Criterion, batch: Batch) -> Loss:
        """Return the summed loss of a micro-batch, ready for `backward`."""

    @abstractmethod
    def valid_step(self, model: EncoderDecoder, criterion: Criterion, batch: Batch) -> Loss:
        """Return the summed loss of a micro-batch of validation data."""

    def set_num_updates(self, updates: int) -> None:  # noqa: B027  # a task without a schedule has nothing to learn
        """Learn how many updates have been done (for schedules inside a task)."""
