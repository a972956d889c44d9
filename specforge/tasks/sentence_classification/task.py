"""The sentence classification task: a text in, one of a fixed set of labels out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specforge.data.batch import Batch, ClassificationBatch
from specforge.models.model import Model
from specforge.tasks.padding import padded
from specforge.tasks.sentence_classification.config import SentenceClassificationConfig
from specforge.tasks.task import Item, Task


class SentenceClassificationTask(Task):
    """Items have the columns `text`, which ends with EOS, and `label`, one index."""

    def cost(self, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the tokens of each text: [items], EOS counted."""
        return lengths["text"]

    def width(self, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the tokens of each text: [items], EOS counted."""
        return lengths["text"]

    def collate(self, items: Sequence[Item]) -> ClassificationBatch:
        """Pad texts into a batch; where there are no labels (what is to be predicted has none), they are all 0."""
        text, lengths = padded([item["text"] for item in items])
        labels = torch.tensor([int(item["label"][0]) if "label" in item else 0 for item in items], dtype=torch.int64)
        return ClassificationBatch(
            text, lengths, labels, target_tokens=len(items), symbols={"text": int(lengths.sum())}
        )

    def predict(self, model: Model, batch: Batch) -> Tensor:
        """Return the most probable label of each text, [items] of int64; the first of equal ones."""
        return model.project(model.features(batch)).argmax(dim=-1)


def build(config: SentenceClassificationConfig) -> Task:
    """Build the task."""
    del config  # how the columns are called is settled when the data are read
    return SentenceClassificationTask()
