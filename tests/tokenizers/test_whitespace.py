"""The whitespace tokenizer: pieces as they stand, words put together again as fairseq's `--remove-bpe` does."""

from __future__ import annotations

import pytest

from specforge.tokenizers.whitespace.config import WhitespaceConfig
from specforge.tokenizers.whitespace.tokenizer import WhitespaceTokenizer

BPE = WhitespaceTokenizer(WhitespaceConfig(remove_bpe="@@ "))
PLAIN = WhitespaceTokenizer(WhitespaceConfig())


def test_white_space_of_every_kind_separates_pieces() -> None:
    lines = ["a  b ", "\ta\u00a0b\u2028c\u3000d", "", " \u2009 ", "zero\u200bwidth"]

    assert [["a", "b"], ["a", "b", "c", "d"], [], [], ["zero\u200bwidth"]] == PLAIN.encode("source", lines)


@pytest.mark.parametrize(
    ("pieces", "joined"),
    [
        (["new@@", "est", "news"], "newest news"),
        (["a@@", "b@@", "c"], "abc"),
        (["cut", "off@@"], "cut off"),
        (["@@", "x"], "x"),
        (["e@@mail"], "e@@mail"),
        ([], ""),
    ],
)
def test_marked_pieces_are_joined(pieces: list[str], joined: str) -> None:
    assert joined == BPE.decode("target", pieces)


def test_without_a_mark_pieces_are_joined_with_spaces() -> None:
    assert PLAIN.decode("target", ["new@@", "est"]) == "new@@ est"


def test_data_that_come_in_pieces_read_as_words() -> None:
    assert BPE.surface("target", "new@@ est  news") == "newest news"
    assert PLAIN.surface("target", "new@@ est  news") == "new@@ est  news"


def test_nothing_is_learned() -> None:
    assert {} == PLAIN.train({}, seed=1)
    assert not WhitespaceConfig.trained
    assert not WhitespaceConfig().joined()
