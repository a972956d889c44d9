"""The translation task: pairs of sequences, the target predicted from the source and its own beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from specforge.data.batch import SequencePairBatch
from specforge.data.vocabulary import EOS, PAD
from specforge.tasks.padding import padded
from specforge.tasks.task import Item, Task
from specforge.tasks.translation.config import TranslationConfig


class TranslationTask(Task):
    """Items have the columns `source` and `target`, each ending with EOS."""

    def cost(self, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the target length of each item: [items], EOS counted."""
        return lengths["target"]

    def width(self, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the longer of both sides of each item: [items], EOS counted."""
        return np.maximum(lengths["source"], lengths["target"])

    def collate(self, items: Sequence[Item]) -> SequencePairBatch:
        """Pad items into a batch; the decoder reads EOS and then the target without its last symbol."""
        source, source_lengths = padded([item["source"] for item in items])
        target_out, target_lengths = padded([item["target"] for item in items])
        target_in = torch.full_like(target_out, PAD)
        target_in[:, 0] = EOS
        # The last column of a row is EOS or padding; shifted right, the EOS of shorter rows becomes padding.
        shifted = target_out[:, :-1]
        target_in[:, 1:] = shifted.masked_fill(shifted == EOS, PAD)
        tokens = int(target_lengths.sum())
        return SequencePairBatch(
            source,
            source_lengths,
            target_in,
            target_out,
            target_lengths,
            target_tokens=tokens,
            symbols={"source": int(source_lengths.sum()), "target": tokens},
        )


def build(config: TranslationConfig) -> Task:
    """Build the task."""
    del config  # which languages they are is settled when the data are read
    return TranslationTask()
