"""Rows of text to numbered pieces, in chunks that are worked on apart and put together again.

A chunk knows nothing of the others: it numbers its own pieces in order of appearance and names them. `PieceNumbers` merges
the numbers of chunk after chunk, so that what comes out does not depend on who cut which chunk.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from specforge.data.labels import UNKNOWN, Labels
from specforge.data.readers import Row
from specforge.data.vocabulary import Vocabulary
from specforge.tokenizers.tokenizer import Tokenizer

END: Final = 0
"""Provisional number of the end of sentence; pieces have the numbers from 1 on."""

EMPTY: Final = "empty"
TOO_LONG: Final = "too_long"
RATIO: Final = "ratio"

_HEADER_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """Which training items are left out; one with an empty side is, unless the task keeps it.

    Args:
        max_length: longest side in tokens, the end of sentence counted; None for no limit.
        max_ratio: largest ratio of the longest side to the shortest, in pieces; None for no limit.
        keeps_empty: whether an item with an empty side is kept.
    """

    max_length: int | None = None
    max_ratio: float | None = None
    keeps_empty: bool = False

    def reason(self, pieces: Sequence[int]) -> str | None:
        """Return why an item is left out, or None.

        Args:
            pieces: number of pieces of each side, the end of sentence not counted.
        """
        if not min(pieces) and not self.keeps_empty:
            return EMPTY
        if self.max_length is not None and max(pieces) + 1 > self.max_length:
            return TOO_LONG
        if self.max_ratio is not None and max(pieces) > self.max_ratio * min(pieces):
            return RATIO
        return None


@dataclass(frozen=True, slots=True)
class CutChunk:
    """Some rows in pieces.

    Args:
        left_out: reason → number of rows that are not in it.
        pieces: role → its pieces, in order of appearance; the one of number n is `pieces[n - 1]`.
        numbers: role → [tokens] of all items back to back, `END` after each item.
        lengths: role → [items] in tokens, ends of sentence counted.
    """

    left_out: Mapping[str, int]
    pieces: Mapping[str, Sequence[str]]
    numbers: Mapping[str, NDArray[np.uint32]]
    lengths: Mapping[str, NDArray[np.int64]]

    def to_bytes(self) -> bytes:
        """Return the chunk as a message; `from_bytes` is the inverse."""
        roles = list(self.pieces)
        header = json.dumps(
            {
                "left_out": dict(self.left_out),
                "pieces": {role: list(self.pieces[role]) for role in roles},
                "tokens": [len(self.numbers[role]) for role in roles],
                "items": len(self.lengths[roles[0]]),
            }
        ).encode()
        arrays = (array[role].tobytes() for role in roles for array in (self.numbers, self.lengths))
        return b"".join((len(header).to_bytes(_HEADER_BYTES), header, *arrays))

    @classmethod
    def from_bytes(cls, data: bytes) -> CutChunk:
        """Return the chunk of a message."""
        start = _HEADER_BYTES + int.from_bytes(data[:_HEADER_BYTES])
        header = json.loads(data[_HEADER_BYTES:start])
        numbers: dict[str, NDArray[np.uint32]] = {}
        lengths: dict[str, NDArray[np.int64]] = {}
        for role, tokens in zip(header["pieces"], header["tokens"], strict=True):
            numbers[role] = np.frombuffer(data, np.uint32, tokens, start)
            start += numbers[role].nbytes
            lengths[role] = np.frombuffer(data, np.int64, header["items"], start)
            start += lengths[role].nbytes
        return cls(header["left_out"], header["pieces"], numbers, lengths)


def cut_rows(
    tokenizer: Tokenizer,
    roles: Sequence[str],
    rows: Sequence[Row],
    limits: Limits | None,
    labels: Collection[str] = (),
) -> CutChunk:
    """Cut rows into pieces and number them.

    Args:
        tokenizer: trained.
        roles: the role of each column.
        rows: the texts.
        limits: which items to leave out; None keeps all, empty ones too.
        labels: roles of columns of labels: each text is one piece, and no end of sentence follows.
    """
    texts = {role: [row[column] for row in rows] for column, role in enumerate(roles)}
    sides: list[list[list[str]]] = [
        [[label] for label in texts[role]] if role in labels else tokenizer.encode(role, texts[role]) for role in roles
    ]
    left_out: dict[str, int] = {}
    if limits is not None:
        measured = [side for role, side in zip(roles, sides, strict=True) if role not in labels]
        reasons = [limits.reason([len(pieces) for pieces in item]) for item in zip(*measured, strict=True)]
        for role in labels:
            reasons = [reason if label else EMPTY for reason, label in zip(reasons, texts[role], strict=True)]
        for reason in reasons:
            if reason is not None:
                left_out[reason] = left_out.get(reason, 0) + 1
        sides = [[pieces for pieces, reason in zip(side, reasons, strict=True) if reason is None] for side in sides]
    pieces: dict[str, Sequence[str]] = {}
    numbers: dict[str, NDArray[np.uint32]] = {}
    lengths: dict[str, NDArray[np.int64]] = {}
    for role, side in zip(roles, sides, strict=True):
        pieces[role], numbers[role], lengths[role] = _number(side, ended=role not in labels)
    return CutChunk(left_out, pieces, numbers, lengths)


def _number(side: Sequence[Sequence[str]], *, ended: bool) -> tuple[list[str], NDArray[np.uint32], NDArray[np.int64]]:
    """Number the pieces of one column, with `END` after each item where it is `ended`.

    The loops over pieces run inside the interpreter's own functions.
    """
    pieces = list(dict.fromkeys(chain.from_iterable(side)))
    number = {piece: index for index, piece in enumerate(pieces, start=1)}
    counts = np.fromiter(map(len, side), np.int64, len(side))
    flat = np.fromiter(map(number.__getitem__, chain.from_iterable(side)), np.uint32, int(counts.sum()))
    return (pieces, np.insert(flat, np.cumsum(counts), END), counts + 1) if ended else (pieces, flat, counts)


class PieceNumbers:
    """Numbers for the pieces of one column, over all chunks, and how often each was seen in each split."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._counts: dict[str, NDArray[np.int64]] = {}

    def merge(self, split: str, pieces: Sequence[str], numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return a chunk's numbers in the numbering of all chunks: [tokens].

        Args:
            split: what the chunk belongs to.
            pieces: the chunk's pieces.
            numbers: [tokens], in the chunk's own numbering.
        """
        known = self._numbers
        own = np.fromiter((known.setdefault(piece, len(known) + 1) for piece in pieces), np.uint32, len(pieces))
        table = np.concatenate((np.array([END], np.uint32), own))
        self._room(split)[table] += np.bincount(numbers, minlength=len(table))
        merged: NDArray[np.uint32] = table[numbers]
        return merged

    def counts(self, split: str) -> dict[str, int]:
        """Return how often each piece was seen in a split, pieces not seen there left out."""
        counts = self._room(split)
        return {piece: int(counts[number]) for piece, number in self._numbers.items() if counts[number]}

    def indices(self, vocabulary: Vocabulary | Labels) -> NDArray[np.int64]:
        """Return the index of each number: [numbers]. No end of sentence stands among labels."""
        end = vocabulary.symbols.eos if isinstance(vocabulary, Vocabulary) else UNKNOWN
        return np.array([end, *vocabulary.encode(self._numbers)], np.int64)

    def tokens_at(self, split: str, indices: NDArray[np.int64], index: int) -> int:
        """Return how many tokens of a split have an index.

        Args:
            split: where to count.
            indices: [numbers], the index of each number.
            index: the one to count.
        """
        return int(self._room(split)[: len(indices)][indices == index].sum())

    def _room(self, split: str) -> NDArray[np.int64]:
        """Return the counts of a split, with room for all numbers; grown by doubling."""
        counts = self._counts.get(split, np.zeros(0, np.int64))
        needed = len(self._numbers) + 1
        if needed > len(counts):
            counts = np.concatenate((counts, np.zeros(max(needed, 2 * len(counts)) - len(counts), np.int64)))
            self._counts[split] = counts
        return counts
