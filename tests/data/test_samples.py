"""Samples: how they are spread, and what is guessed from them, against small texts counted by hand."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate, count, pairwise

from hypothesis import given
from hypothesis import strategies as st

from specforge.data.samples import expected_types, guessed_pieces, sampled
from specforge.plugin import LearnedPieces


@given(st.integers(0, 9_999))
def test_a_corpus_that_is_small_is_sampled_whole(lines: int) -> None:
    assert list(range(lines)) == list(sampled(range(lines), lines, size=lines))


def test_a_large_corpus_is_sampled_evenly_over_its_length() -> None:
    rows = list(sampled(range(200_000), 200_000, size=1_000_000))

    assert 10_000 == len(rows)
    assert {20} == {after - before for before, after in pairwise(rows)}


def test_of_a_huge_corpus_only_the_beginning_is_read() -> None:
    asked: list[int] = []

    def rows() -> Iterator[int]:
        for number in count():
            asked.append(number)
            yield number

    # 640 bytes a line: 64 MiB hold 104,857 of them
    found = list(sampled(rows(), 100_000_000, size=64_000_000_000))

    assert 9_000 < len(found) <= 10_000
    assert max(asked) < 104_858


def test_a_corpus_of_unknown_size_is_read_up_to_the_reach() -> None:
    assert 499_000 < max(sampled(count(), None, size=0)) < 500_000


def test_pieces_of_words_and_of_characters() -> None:
    texts = [["ab cde", ""], ["x"]]

    assert [[2, 0], [1]] == guessed_pieces(texts, LearnedPieces("word"))
    # the space before each word is a piece, too, and an empty line has one
    assert [[7, 1], [2]] == guessed_pieces(texts, LearnedPieces("character"))


def test_rare_words_fall_into_pieces_of_four_characters() -> None:
    texts = [["the the the cat", "the mathematician"]]

    # half of two pieces is one whole word, `the`; `cat` is one piece all the same, `mathematician` has 13 characters
    assert [[4, 5]] == guessed_pieces(texts, LearnedPieces("subword", most=2))
    assert [[4, 2]] == guessed_pieces(texts, LearnedPieces("subword", most=100))


def test_types_of_a_whole_text_are_counted() -> None:
    assert 3 == expected_types([["a", "b"], ["b", "c"]], share=1.0, threshold=0)
    assert 1 == expected_types([["a", "b"], ["b", "c"]], share=1.0, threshold=2)


def test_types_of_a_part_grow_as_heaps_says() -> None:
    # every other text has 2 types and all have 4: types grow as fast as the text, so four times the text has 16
    assert 16 == expected_types([["a"], ["b"], ["c"], ["d"]], share=0.25, threshold=0)
    # here the half has them all: no more will come
    assert 2 == expected_types([["a", "b"], ["b", "a"], ["a", "b"], ["a"]], share=0.25, threshold=0)


def test_the_growth_of_a_zipfian_text_is_met_within_a_fifth() -> None:
    draw = random.Random(1)
    words = [f"w{number}" for number in range(1, 50_001)]
    weights = [*accumulate(1 / number for number in range(1, 50_001))]
    texts = [draw.choices(words, cum_weights=weights, k=10) for _ in range(8_000)]
    whole = len({word for text in texts for word in text})

    found = expected_types(texts[::4], share=0.25, threshold=0)

    assert 0.8 < found / whole < 1.2
