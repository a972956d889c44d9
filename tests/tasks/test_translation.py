"""The translation task: how pairs become a batch, what they cost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from specforge.data.batch import SequencePairBatch
from specforge.plugin import Column
from specforge.tasks.translation.config import TranslationConfig
from specforge.tasks.translation.task import TranslationTask, build

BOS, PAD, EOS = 0, 1, 2
TASK = build(TranslationConfig(source="en", target="de"))
SIDE = st.lists(st.integers(4, 60_000), max_size=6).map(lambda tokens: np.array([*tokens, EOS], np.uint16))
ITEMS = st.lists(st.fixed_dictionaries({"source": SIDE, "target": SIDE}), min_size=1, max_size=5)


def test_a_batch_by_hand() -> None:
    batch = TASK.collate(
        [
            {"source": np.array([5, 6, EOS], np.uint16), "target": np.array([7, EOS], np.uint16)},
            {"source": np.array([8, EOS], np.uint16), "target": np.array([9, 10, 11, EOS], np.uint16)},
            {"source": np.array([EOS], np.uint16), "target": np.array([EOS], np.uint16)},
        ]
    )
    assert isinstance(batch, SequencePairBatch)

    assert [[5, 6, EOS], [8, EOS, PAD], [EOS, PAD, PAD]] == batch.source.tolist()
    assert [3, 2, 1] == batch.source_lengths.tolist()
    assert [[EOS, 7, PAD, PAD], [EOS, 9, 10, 11], [EOS, PAD, PAD, PAD]] == batch.target_in.tolist()
    assert [[7, EOS, PAD, PAD], [9, 10, 11, EOS], [EOS, PAD, PAD, PAD]] == batch.target_out.tolist()
    assert [2, 4, 1] == batch.target_lengths.tolist()
    assert batch.target_tokens == 7
    assert {torch.int64} == {
        batch.source.dtype,
        batch.target_in.dtype,
        batch.target_out.dtype,
        batch.target_lengths.dtype,
    }


@given(ITEMS)
def test_a_row_of_a_batch_does_not_depend_on_the_others(items: list[dict[str, np.ndarray]]) -> None:
    batch = TASK.collate(items)

    for row, item in enumerate(items):
        alone = TASK.collate([item])
        for name in ("source", "target_in", "target_out"):
            width = getattr(alone, name).shape[1]
            assert getattr(batch, name)[row, :width].tolist() == getattr(alone, name)[0].tolist()
            assert set(getattr(batch, name)[row, width:].tolist()) <= {PAD}
    assert batch.target_tokens == sum(len(item["target"]) for item in items)


def test_an_item_costs_its_target_and_is_as_wide_as_its_longer_side() -> None:
    lengths = {"source": np.array([3, 9, 1]), "target": np.array([5, 2, 1])}

    assert [5, 2, 1] == TASK.cost(lengths).tolist()
    assert [5, 9, 1] == TASK.width(lengths).tolist()


def test_the_columns_are_the_languages() -> None:
    config = TranslationConfig(source="en", target="de")

    assert (Column("source", "en"), Column("target", "de")) == config.columns()
    assert isinstance(TASK, TranslationTask)


@pytest.mark.parametrize("languages", [("en", "en"), ("", "de"), ("en", "a/b"), ("en", "..\\de"), ("en", "d\ne")])
def test_languages_that_cannot_name_files_are_refused(languages: tuple[str, str]) -> None:
    with pytest.raises(ValidationError):
        TranslationConfig(source=languages[0], target=languages[1])
