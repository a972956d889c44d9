"""Blocks of a text by hand, and laws: nothing is lost, nothing comes twice, and each block knows what stands before it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from specforge.data.blocks import BEFORE, Blocks

EOS = 2
LINES = st.lists(st.lists(st.integers(4, 9), max_size=5), min_size=1, max_size=8)


class Stream:
    """Lines in memory, each ended by EOS."""

    def __init__(self, lines: list[list[int]]) -> None:
        ended = [[*line, EOS] for line in lines]
        self.all = np.array([token for line in ended for token in line], np.uint16)
        self.offsets = [0, *np.cumsum([len(line) for line in ended]).tolist()]

    def offset(self, role: str, item: int) -> int:
        assert role == "text"
        return int(self.offsets[item])

    def tokens(self, role: str, start: int, stop: int) -> NDArray[np.integer]:
        assert role == "text"
        return self.all[start:stop]


def _items(blocks: Blocks) -> list[tuple[list[int], list[int]]]:
    return [
        (item[BEFORE].tolist(), item["text"].tolist()) for item in (blocks.item(each) for each in range(len(blocks)))
    ]


def test_blocks_by_hand() -> None:
    # the stream is 5 6 7 EOS | EOS | 8 EOS: a blank line is one end of sentence
    stream = Stream([[5, 6, 7], [], [8]])

    blocks = Blocks(stream, "text", 3, 0, [(0, 3)])

    assert [([EOS], [5, 6, 7]), ([7], [EOS, EOS, 8]), ([8], [EOS])] == _items(blocks)
    assert [3, 3, 1] == blocks.lengths()["text"].tolist()
    assert [(0, 3)] == blocks.spans


def test_a_context_is_looked_at_again_and_counts_in_the_length() -> None:
    stream = Stream([[5, 6, 7], [], [8]])

    blocks = Blocks(stream, "text", 4, 2, [(0, 3)])  # two new tokens each

    assert [([EOS], [5, 6]), ([EOS, 5, 6], [7, EOS]), ([6, 7, EOS], [EOS, 8]), ([EOS, EOS, 8], [EOS])] == _items(blocks)
    assert [2, 4, 4, 3] == blocks.lengths()["text"].tolist()


def test_a_block_does_not_run_from_one_corpus_into_the_next() -> None:
    stream = Stream([[5, 6], [7], [8]])

    blocks = Blocks(stream, "text", 2, 0, [(0, 1), (1, 1), (1, 3)])

    assert [([EOS], [5, 6]), ([6], [EOS]), ([EOS], [7, EOS]), ([EOS], [8, EOS])] == _items(blocks)
    assert [(0, 2), (2, 2), (2, 4)] == blocks.spans


@given(LINES, st.integers(1, 7), st.integers(0, 6))
def test_every_token_is_predicted_once_from_what_stands_before_it(
    lines: list[list[int]], step: int, context: int
) -> None:
    stream = Stream(lines)
    whole = stream.all.tolist()

    blocks = Blocks(stream, "text", step + context, context, [(0, len(lines))])

    found = _items(blocks)
    assert whole == [token for _, text in found for token in text]
    start = 0
    for number, (before, text) in enumerate(found):
        assert [EOS, *whole][max(start - context, 0) : start + 1] == before
        assert len(before) - 1 + len(text) == blocks.lengths(np.array([number]))["text"][0] <= step + context
        start += len(text)


def test_an_empty_text_has_no_blocks() -> None:
    assert 0 == len(Blocks(Stream([[5]]), "text", 3, 0, []))
