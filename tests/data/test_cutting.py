"""Cutting rows in chunks and putting the chunks together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specforge.data.cutting import CutChunk, Limits, PieceNumbers, cut_rows
from specforge.data.readers import Row
from specforge.data.vocabulary import Vocabulary
from specforge.tokenizers.whitespace.config import WhitespaceConfig
from specforge.tokenizers.whitespace.tokenizer import WhitespaceTokenizer

ROLES = ("source", "target")
TOKENIZER = WhitespaceTokenizer(WhitespaceConfig())
WORDS = st.lists(st.sampled_from(["a", "b", "c", "é", "<unk>"]), max_size=4).map(" ".join)
ROWS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("pieces", "limits", "reason"),
    [
        ((0, 5), Limits(), "empty"),
        ((5, 0), Limits(max_length=3, max_ratio=1.0), "empty"),
        ((1, 400), Limits(), None),
        ((249, 200), Limits(max_length=250), None),
        ((200, 250), Limits(max_length=250), "too_long"),
        ((2, 4), Limits(max_ratio=2.0), None),
        ((5, 2), Limits(max_ratio=2.0), "ratio"),
        ((2, 5), Limits(max_ratio=2.0), "ratio"),
        ((300, 2), Limits(max_length=250, max_ratio=2.0), "too_long"),
    ],
)
def test_why_an_item_is_left_out(pieces: tuple[int, int], limits: Limits, reason: str | None) -> None:
    assert reason == limits.reason(pieces)


def test_pieces_are_numbered_in_order_of_appearance() -> None:
    chunk = cut_rows(TOKENIZER, ROLES, [("b a b", "x"), ("", "y y"), ("c", "x y")], Limits())

    assert {"empty": 1} == chunk.left_out
    assert {"source": ["b", "a", "c"], "target": ["x", "y"]} == chunk.pieces
    assert [1, 2, 1, 0, 3, 0] == chunk.numbers["source"].tolist()
    assert [1, 0, 1, 2, 0] == chunk.numbers["target"].tolist()
    assert [[4, 2], [2, 3]] == [chunk.lengths[role].tolist() for role in ROLES]


def test_without_limits_empty_items_stay() -> None:
    chunk = cut_rows(TOKENIZER, ROLES, [("", ""), ("a", "")], None)

    assert [[0, 1, 0], [0, 0]] == [chunk.numbers[role].tolist() for role in ROLES]
    assert {} == chunk.left_out


@given(ROWS)
def test_a_chunk_survives_its_journey(rows: list[Row]) -> None:
    chunk = cut_rows(TOKENIZER, ROLES, rows, Limits())

    again = CutChunk.from_bytes(chunk.to_bytes())

    assert (chunk.left_out, chunk.pieces) == (again.left_out, again.pieces)
    for role in ROLES:
        assert chunk.numbers[role].tolist() == again.numbers[role].tolist()
        assert chunk.lengths[role].tolist() == again.lengths[role].tolist()


@given(ROWS, st.integers(1, 4))
def test_chunks_together_say_what_the_whole_says(rows: list[Row], size: int) -> None:
    words = [row[0].split() for row in rows]
    vocabulary = Vocabulary.from_counts({"a": 3, "é": 2}, padding_factor=1)
    numbers = PieceNumbers()
    merged: list[int] = []
    for start in range(0, len(rows), size):
        chunk = cut_rows(TOKENIZER, ROLES, rows[start : start + size], None)
        merged += numbers.merge("train", chunk.pieces["source"], chunk.numbers["source"]).tolist()

    indices = numbers.indices(vocabulary)

    assert [index for line in words for index in (*vocabulary.encode(line), 2)] == indices[merged].tolist()
    flat = [word for line in words for word in line]
    assert {word: flat.count(word) for word in flat} == numbers.counts("train")
    assert {} == numbers.counts("valid")
    unknown = sum(word not in {"a", "é"} for word in flat)
    assert (unknown, 0) == tuple(numbers.tokens_at(split, indices, 3) for split in ("train", "valid"))


def test_validation_text_counts_for_itself() -> None:
    numbers = PieceNumbers()
    numbers.merge("train", ["a", "b"], np.array([1, 2, 1, 0], np.uint32))

    merged = numbers.merge("valid", ["c", "a"], np.array([1, 1, 2, 0], np.uint32))

    assert [3, 3, 1, 0] == merged.tolist()
    assert {"a": 2, "b": 1} == numbers.counts("train")
    assert {"c": 2, "a": 1} == numbers.counts("valid")


def test_a_label_is_one_piece_with_no_end_behind_it() -> None:
    rows = [("b a", "two words"), ("c", "x"), ("a", "two words")]

    chunk = cut_rows(TOKENIZER, ROLES, rows, Limits(max_ratio=1.0, max_length=3), labels={"target"})

    assert ["two words", "x"] == chunk.pieces["target"]
    assert [1, 2, 1] == chunk.numbers["target"].tolist()
    assert [1, 1, 1] == chunk.lengths["target"].tolist()
    assert {} == chunk.left_out  # a label has no length that could be too long, or no ratio


def test_an_item_without_a_label_is_left_out_in_training_and_kept_to_be_refused_elsewhere() -> None:
    rows = [("a", ""), ("b", "x")]

    assert {"empty": 1} == cut_rows(TOKENIZER, ROLES, rows, Limits(), labels={"target"}).left_out
    assert ["", "x"] == cut_rows(TOKENIZER, ROLES, rows, None, labels={"target"}).pieces["target"]


def test_blank_lines_stay_where_the_task_keeps_them() -> None:
    chunk = cut_rows(TOKENIZER, ["text"], [("a",), ("",), ("b",)], Limits(keeps_empty=True))

    assert [1, 0, 0, 2, 0] == chunk.numbers["text"].tolist()
    assert {} == chunk.left_out
