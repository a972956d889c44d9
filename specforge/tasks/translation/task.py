"""The translation task: pairs of sequences, the target predicted from the source and its own beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specforge.criterions.criterion import Criterion, Loss
from specforge.data.batch import Batch
from specforge.data.vocabulary import EOS, PAD
from specforge.models.model import EncoderDecoder
from specforge.tasks.task import Task
from specforge.tasks.translation.config import TranslationConfig


class TranslationTask(Task):
    """Items have the columns `source` and `target`, each ending with EOS."""

    def cost(self, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the target length of each item: [items], EOS counted."""
        return lengths["target"]

    def width(self, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the longer of both sides of each item: [items], EOS counted."""
        return np.maximum(lengths["source"], lengths["target"])

    def collate(self, items: Sequence[Mapping[str, NDArray[np.integer]]]) -> Batch:
        """Pad items into a batch; the decoder reads EOS and then the target without its last symbol."""
        source, source_lengths = _padded([item["source"] for item in items])
        target_out, target_lengths = _padded([item["target"] for item in items])
        target_in = torch.full_like(target_out, PAD)
        target_in[:, 0] = EOS
        # The last column of a row is EOS or padding; shifted right, the EOS of shorter rows becomes padding.
        shifted = target_out[:, :-1]
        target_in[:, 1:] = shifted.masked_fill(shifted == EOS, PAD)
        return Batch(source, source_lengths, target_in, target_out, target_lengths, int(target_lengths.sum()))

    def train_step(self, model: EncoderDecoder, criterion: Criterion, batch: Batch) -> Loss:
        """Return the criterion's loss."""
        loss: Loss = criterion(model, batch)
        return loss

    def valid_step(self, model: EncoderDecoder, criterion: Criterion, batch: Batch) -> Loss:
        """Return the criterion's loss, as in training."""
        loss: Loss = criterion(model, batch)
        return loss


def _padded(rows: Sequence[NDArray[np.integer]]) -> tuple[Tensor, Tensor]:
    """Return rows padded on the right, [rows, longest] of int64, and their lengths, [rows] of int64."""
    lengths = np.array([len(row) for row in rows], np.int64)
    padded = np.full((len(rows), int(lengths.max(initial=0))), PAD, np.int64)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = row
    return torch.from_numpy(padded), torch.from_numpy(lengths)


def build(config: TranslationConfig) -> Task:
    """Build the task."""
    del config  # which languages they are is settled when the data are read
    return TranslationTask()
