"""Text as a stream of tokens, cut into blocks: what a language model is trained on and measured by.

The lines of a text follow each other, the end of sentence after each. A block is the next `length` tokens, wherever lines
end; it is predicted from what stands before it, so an item knows the token before its first one, and as many more as a
context window asks for. Nothing is copied: a block is a view into the corpus, and no array is as long as the corpus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from specforge.data.vocabulary import EOS

BEFORE: Final = "before"
"""Key of the tokens before an item: the last one is what its first token is predicted from."""


class TokenStream(Protocol):
    """Lines of tokens that follow each other (`specforge.data.corpus.IndexedCorpus`)."""

    def offset(self, role: str, item: int) -> int:
        """Return how many tokens stand before an item; before one past the last: all."""

    def tokens(self, role: str, start: int, stop: int) -> NDArray[np.integer]:
        """Return the tokens [start, stop) of a column, whatever items they belong to."""


class Blocks:
    """The blocks of a column.

    Args:
        stream: the text.
        role: the column.
        length: tokens of a block, the context that is looked at again included.
        context: how many tokens before a block are looked at again; they are not to be predicted again.
        spans: parts of the text, as items [start, stop): no block runs from one into the next.
    """

    def __init__(
        self, stream: TokenStream, role: str, length: int, context: int, spans: Sequence[tuple[int, int]]
    ) -> None:
        assert 0 <= context < length
        self._stream = stream
        self._role = role
        self._context = context
        self._step = length - context
        bounds = [(stream.offset(role, start), stream.offset(role, stop)) for start, stop in spans]
        counts = [-(-(stop - start) // self._step) for start, stop in bounds]
        self._starts = np.array([start for start, _ in bounds], np.int64)
        self._stops = np.array([stop for _, stop in bounds], np.int64)
        self._ends = np.cumsum(np.array(counts, np.int64))

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Where the blocks of each part of the text are, as blocks [start, stop)."""
        ends = self._ends.tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))

    def lengths(self, items: NDArray[np.int64] | None = None) -> dict[str, NDArray[np.int64]]:
        """Return the length of blocks, the context included: role → [items]; None for all."""
        numbers = np.arange(len(self), dtype=np.int64) if items is None else items
        begins, starts, stops = self._bounds(numbers)
        return {self._role: stops - np.maximum(starts - self._context, begins)}

    def item(self, index: int) -> Mapping[str, NDArray[np.integer]]:
        """Return the tokens of a block, and those before it."""
        begin, start, stop = (int(bound[0]) for bound in self._bounds(np.array([index], np.int64)))
        text = self._stream.tokens(self._role, start, stop)
        first = max(start - self._context, begin) - 1
        if first >= begin:
            return {self._role: text, BEFORE: self._stream.tokens(self._role, first, start)}
        # The text begins as if a sentence had ended.
        before = np.concatenate((np.array([EOS]), self._stream.tokens(self._role, begin, start)))
        return {self._role: text, BEFORE: before}

    def _bounds(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return where in the stream the part of each block begins, and where the block itself begins and ends."""
        part = np.searchsorted(self._ends, items, side="right")
        before = np.concatenate((np.zeros(1, np.int64), self._ends))[part]  # blocks of earlier parts
        starts = self._starts[part] + (items - before) * self._step
        return self._starts[part], starts, np.minimum(starts + self._step, self._stops[part])
