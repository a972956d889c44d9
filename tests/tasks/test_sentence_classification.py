"""The sentence classification task: what a batch holds, what is predicted, what an item costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from specforge.data.batch import Batch, ClassificationBatch
from specforge.models.model import Classifier
from specforge.plugin import Column
from specforge.tasks.sentence_classification.config import SentenceClassificationConfig
from specforge.tasks.sentence_classification.task import build

PAD, EOS = 1, 2
TASK = build(SentenceClassificationConfig())


class Lengths(Classifier):
    """Likes label n best for a text of n + 1 tokens, and equally well its successor."""

    def features(self, batch: Batch) -> Tensor:
        assert isinstance(batch, ClassificationBatch)
        return batch.text_lengths[:, None].float()

    def project(self, features: Tensor) -> Tensor:
        logits = torch.zeros(len(features), 4)
        for row, length in zip(logits, features[:, 0].long().tolist(), strict=True):
            row[length - 1 : length + 1] = 1.0
        return logits


def test_a_batch_by_hand() -> None:
    batch = TASK.collate(
        [
            {"text": np.array([5, 6, EOS], np.uint16), "label": np.array([3], np.uint16)},
            {"text": np.array([EOS], np.uint16), "label": np.array([0], np.uint16)},
        ]
    )

    assert [[5, 6, EOS], [EOS, PAD, PAD]] == batch.tensors()["text"].tolist()
    assert [3, 1] == batch.tensors()["text_lengths"].tolist()
    assert [3, 0] == batch.targets.tolist()
    assert 2 == batch.target_tokens


def test_the_most_probable_label_is_predicted_the_first_of_equal_ones() -> None:
    batch = TASK.collate([{"text": np.array([5, 6, EOS])}, {"text": np.array([EOS])}])  # nobody knows their labels yet

    assert [2, 0] == TASK.predict(Lengths(), batch).tolist()


def test_an_item_costs_its_text() -> None:
    lengths = {"text": np.array([3, 9]), "label": np.array([1, 1])}

    assert [3, 9] == TASK.cost(lengths).tolist() == TASK.width(lengths).tolist()


def test_the_columns_and_what_planning_must_know() -> None:
    config = SentenceClassificationConfig(text="question", label="intent")

    assert (Column("text", "question"), Column("label", "intent", labels=True)) == config.columns()
    assert ("classifier", "label", False) == (config.family, config.predicted, config.searches)
    assert "accuracy" == config.defaults["metric"]


def test_text_and_label_are_two_columns() -> None:
    with pytest.raises(ValidationError):
        SentenceClassificationConfig(text="a", label="a")
