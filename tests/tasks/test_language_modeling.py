"""The language modelling task: what a batch holds, what a test comes to."""

from __future__ import annotations

from math import log
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from specforge.data.blocks import BEFORE
from specforge.plugin import Column
from specforge.tasks.language_modeling.config import LanguageModelingConfig
from specforge.tasks.language_modeling.task import build
from specforge.tasks.task import MeasuredText

PAD, EOS = 1, 2


def test_a_line_is_predicted_from_an_end_of_sentence_on() -> None:
    batch = build(LanguageModelingConfig()).collate([{"text": np.array([5, 6, EOS])}, {"text": np.array([EOS])}])

    assert [[EOS, 5, 6], [EOS, PAD, PAD]] == batch.tensors()["text_in"].tolist()
    assert [[5, 6, EOS], [EOS, PAD, PAD]] == batch.targets.tolist()
    assert [3, 1] == batch.tensors()["lengths"].tolist()
    assert 4 == batch.target_tokens == int(batch.counted.sum())


def test_a_block_is_predicted_from_the_token_before_it_and_its_context_does_not_count() -> None:
    items = [
        {"text": np.array([7, EOS]), BEFORE: np.array([EOS, 5, 6])},
        {"text": np.array([8]), BEFORE: np.array([9])},
    ]

    batch = build(LanguageModelingConfig(block_length=4, context_window=2)).collate(items)

    assert [[EOS, 5, 6, 7], [9, PAD, PAD, PAD]] == batch.tensors()["text_in"].tolist()
    assert [[PAD, PAD, 7, EOS], [8, PAD, PAD, PAD]] == batch.targets.tolist()
    assert [4, 1] == batch.tensors()["lengths"].tolist()
    assert 3 == batch.target_tokens == int(batch.counted.sum())


class Lines:
    """Four lines of a text as a stream: 10 11 12, a blank one, 13 14, 15 … 19."""

    parts: ClassVar[list[list[int]]] = [[10, 11, 12, EOS], [EOS], [13, 14, EOS], [15, 16, 17, 18, 19, EOS]]

    def __len__(self) -> int:
        return len(self.parts)

    def lengths(self, items: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        return {"text": np.array([len(self.parts[item]) for item in items])}

    def item(self, index: int) -> dict[str, NDArray[np.integer]]:
        return {"text": np.array(self.parts[index])}

    def offset(self, role: str, item: int) -> int:
        assert "text" == role
        return sum(map(len, self.parts[:item]))

    def tokens(self, role: str, start: int, stop: int) -> NDArray[np.integer]:
        assert "text" == role
        return np.array([token for part in self.parts for token in part][start:stop])


# (inputs, targets) as fairseq 0.12.2 makes them of the same tokens: TokenBlockDataset(block_size=5 - 2, break_mode="none"),
# MonolingualDataset and LMContextWindowDataset(tokens_per_sample=5, context_window=2), its padding taken off.
FAIRSEQ_5_2 = [
    ([2, 10, 11], [10, 11, 12]),
    ([10, 11, 12, 2, 2], [1, 1, 2, 2, 13]),
    ([2, 2, 13, 14, 2], [1, 1, 14, 2, 15]),
    ([14, 2, 15, 16, 17], [1, 1, 16, 17, 18]),
    ([16, 17, 18, 19], [1, 1, 19, 2]),
]
FAIRSEQ_4_0 = [
    ([2, 10, 11, 12], [10, 11, 12, 2]),
    ([2, 2, 13, 14], [2, 13, 14, 2]),
    ([2, 15, 16, 17], [15, 16, 17, 18]),
    ([18, 19], [19, 2]),
]
FAIRSEQ_6_5_FIRST = [([2], [10]), ([2, 10], [1, 11]), ([2, 10, 11], [1, 1, 12])]


@pytest.mark.parametrize(
    ("length", "context", "expected"), [(5, 2, FAIRSEQ_5_2), (4, 0, FAIRSEQ_4_0), (6, 5, FAIRSEQ_6_5_FIRST)]
)
def test_a_test_predicts_the_tokens_of_fairseq_from_the_same_contexts(
    length: int, context: int, expected: list[tuple[list[int], list[int]]]
) -> None:
    task = build(LanguageModelingConfig(block_length=length, context_window=context))
    items = task.arranged_test(Lines())

    rows = [task.collate([items.item(number)]) for number in range(len(items))]

    found = [(row.tensors()["text_in"][0].tolist(), row.targets[0].tolist()) for row in rows]
    assert expected == found[: len(expected)]
    # Every token of the text counts once, in order.
    assert [token for part in Lines.parts for token in part] == [
        token for _, targets in found for token in targets if token != PAD
    ]


def test_perplexity_by_token_and_by_word_by_hand() -> None:
    # 12 bits over 6 tokens are 2 bits each; over 2 words and 2 line ends 3 bits each
    task = build(LanguageModelingConfig(block_length=8, context_window=4))

    by_token, by_word = task.measured(12 * log(2), 6, MeasuredText(lines=2, words=2))

    assert ("ppl", False) == (by_token.name, by_token.higher_is_better)
    assert pytest.approx(4.0) == by_token.value
    assert "ppl|tokens:6|block_length:8|context_window:4|version:1" == by_token.signature
    assert "ppl = 4.00 (2.0000 bits, 6 tokens)" == by_token.text
    assert "word_ppl" == by_word.name
    assert pytest.approx(8.0) == by_word.value
    assert "word_ppl|words:4|block_length:8|context_window:4|version:1" == by_word.signature


def test_a_model_without_hope_has_a_perplexity_that_json_can_hold() -> None:
    by_token, _ = build(LanguageModelingConfig()).measured(1e9, 1, MeasuredText(lines=1, words=0))

    assert 2.0**1_000 == by_token.value


def test_the_column_and_what_planning_must_know() -> None:
    config = LanguageModelingConfig(block_length=256)

    assert (Column("text", "text"),) == config.columns()
    assert {"text": 256} == config.longest_items()
    assert {} == LanguageModelingConfig().longest_items()
    assert ("language_model", ("score",), True) == (config.family, config.test_steps, config.continues)


@pytest.mark.parametrize(
    "values", [{"context_window": 8}, {"block_length": 8, "context_window": 8}, {"block_length": 0}]
)
def test_a_window_fits_into_a_block(values: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        LanguageModelingConfig.model_validate(values)
