"""Alignment from attention, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from specforge.generation.alignment import aligned_pieces, aligned_words, word_numbers

# three target pieces look at four source pieces
ATTENTION = np.array([[0.1, 0.2, 0.4, 0.3], [0.1, 0.3, 0.35, 0.25], [0.7, 0.1, 0.1, 0.1]], np.float32)


def test_a_piece_is_paired_with_what_it_looks_at_most() -> None:
    assert ((2, 0), (2, 1), (0, 2)) == aligned_pieces(ATTENTION)


def test_a_word_looks_and_is_looked_at_as_all_its_pieces_together() -> None:
    # source words: pieces 0 and 1, 2, 3; target words: pieces 0 and 1, 2
    # the first target word looks at (0.7, 0.75, 0.55): at the second; the second at (0.8, 0.1, 0.1)
    assert ((1, 0), (0, 1)) == aligned_words(ATTENTION, [0, 0, 1, 2], [0, 0, 1])
    # with source pieces 0 to 2 as one word, both look there
    assert ((0, 0), (0, 1)) == aligned_words(ATTENTION, [0, 0, 0, 1], [0, 0, 1])
    # a word without a piece, as one that a character alone spells twice, looks at nothing
    assert ((1, 0), (0, 2)) == aligned_words(ATTENTION, [0, 0, 1, 2], [0, 0, 2])


def spaced(pieces: Sequence[str]) -> str:
    return "".join(pieces).replace("▁", " ").strip()


def continued(pieces: Sequence[str]) -> str:
    return f"{' '.join(pieces)} ".replace("@@ ", "").rstrip()


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["▁Two", "▁m", "en", "▁cook", "."], [0, 1, 1, 2, 2]),
        (["▁", "Tw", "o", "▁", "men"], [0, 0, 0, 1, 1]),  # a lone mark begins the next word
        (["▁men", "▁"], [0, 0]),  # and at the end there is none
        (["▁"], [0]),
        ([], []),
    ],
)
def test_words_are_those_of_the_text_where_marks_begin_them(pieces: list[str], expected: list[int]) -> None:
    assert expected == word_numbers(spaced, pieces)


def test_words_are_those_of_the_text_where_marks_continue_them() -> None:
    assert [0, 0, 0, 1, 2] == word_numbers(continued, ["a@@", "b@@", "c", "d", "e@@"])
