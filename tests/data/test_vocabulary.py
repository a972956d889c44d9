"""The vocabulary by the rules of `fairseq-preprocess`: order, limits, fillers, file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specforge.data.vocabulary import Vocabulary
from specforge.foundation.errors import CorruptStateError, Place, StepFailedError
from specforge.plugin import Symbols

PIECES = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])).filter(
    lambda piece: piece not in {"<s>", "<pad>", "</s>", "<unk>"}
)
COUNTS = st.dictionaries(PIECES, st.integers(1, 50), max_size=30)


def test_frequent_pieces_come_first_and_equal_ones_by_code_point() -> None:
    vocabulary = Vocabulary.from_counts({"b": 2, "é": 2, "a": 2, "rare": 1, "the": 9}, padding_factor=1)

    assert vocabulary.to_bytes().decode() == "the 9\na 2\nb 2\né 2\nrare 1\n"
    assert [4, 5, 6, 7, 8, 3] == vocabulary.encode(["the", "a", "b", "é", "rare", "never seen"])
    assert Symbols(size=9, bos=0, pad=1, eos=2, unk=3) == vocabulary.symbols


def test_indices_become_pieces_without_the_silent_symbols() -> None:
    vocabulary = Vocabulary.from_counts({"a": 2, "b": 1}, padding_factor=1)

    assert ["a", "<unk>", "b"] == vocabulary.pieces([0, 4, 3, 5, 2, 1, 1])


def test_threshold_drops_pieces_seen_less_often() -> None:
    vocabulary = Vocabulary.from_counts({"a": 3, "b": 2, "c": 1}, threshold=2, padding_factor=1)

    assert vocabulary.to_bytes() == b"a 3\nb 2\n"


def test_nwords_counts_the_special_symbols_and_not_the_fillers() -> None:
    vocabulary = Vocabulary.from_counts({"a": 3, "b": 2, "c": 1}, nwords=6, padding_factor=4)

    assert vocabulary.to_bytes() == b"a 3\nb 2\nmadeupword0000 0\nmadeupword0001 0\n"
    assert len(vocabulary) == 8


def test_a_text_that_contains_the_name_of_a_filler_keeps_it() -> None:
    vocabulary = Vocabulary.from_counts({"madeupword0000": 7}, padding_factor=8)

    assert vocabulary.to_bytes() == b"madeupword0000 7\nmadeupword0001 0\nmadeupword0002 0\nmadeupword0003 0\n"


def test_a_special_symbol_in_text_is_unknown() -> None:
    vocabulary = Vocabulary.from_counts({"a": 1, "<pad>": 5, "<unk>": 3, "</s>": 1, "<s>": 1}, padding_factor=1)

    assert vocabulary.to_bytes() == b"a 1\n"
    assert [3, 3, 3, 3] == vocabulary.encode(["<s>", "<pad>", "</s>", "<unk>"])


@given(COUNTS, st.integers(1, 16))
def test_the_file_gives_the_vocabulary_back(counts: dict[str, int], padding_factor: int) -> None:
    vocabulary = Vocabulary.from_counts(counts, padding_factor=padding_factor)

    again = Vocabulary.from_bytes(vocabulary.to_bytes())

    assert vocabulary == again
    assert len(vocabulary) % padding_factor == 0
    assert sorted(counts) == sorted(again.pieces(again.encode(counts)))


def test_pieces_with_spaces_and_control_characters_survive_the_file() -> None:
    counts = {"a b": 3, " ": 2, "": 2, "x ": 1, "\u2028": 1, "\r": 1, "\t": 1, "12 3": 1}

    assert Vocabulary.from_counts(counts, padding_factor=1) == Vocabulary.from_bytes(
        Vocabulary.from_counts(counts, padding_factor=1).to_bytes()
    )


@pytest.mark.parametrize("line", [b"a", b"a x", b"\xff 1", b"fine 1", b"<pad> 1", b""])
def test_a_line_that_is_none_is_corrupt(line: bytes) -> None:
    with pytest.raises(CorruptStateError) as caught:
        Vocabulary.from_bytes(b"fine 2\n" + line + b"\n", Place("vocabulary.source.txt"))

    assert ("SF614", Place("vocabulary.source.txt", 2)) == (caught.value.code, caught.value.place)


def test_a_piece_that_would_break_the_file_is_refused() -> None:
    with pytest.raises(StepFailedError) as caught:
        Vocabulary.from_counts({"a\nb": 1})

    assert caught.value.code == "SF636"
