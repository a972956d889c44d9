"""The language modelling task: what a batch holds, what a test comes to."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
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
    assert ("language_model", ("score",), False) == (config.family, config.test_steps, config.searches)


@pytest.mark.parametrize(
    "values", [{"context_window": 8}, {"block_length": 8, "context_window": 8}, {"block_length": 0}]
)
def test_a_window_fits_into_a_block(values: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        LanguageModelingConfig.model_validate(values)
