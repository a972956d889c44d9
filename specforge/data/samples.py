"""A look at text before it is prepared: how long its items will be in tokens, and how many types it will have.

All of it is a guess from a sample. A tokenizer that needs no training, or has been trained, cuts the sample itself; for one
that is still to be trained, the number of its pieces says how finely it will cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import ceil, log2
from typing import Final, TypeVar

from specforge.plugin import LearnedPieces

_ROWS: Final = 10_000
_REACH_ROWS: Final = 500_000
_REACH_BYTES: Final = 1 << 26
"""A sample is spread over this much of the beginning of a corpus; what lies behind is not read."""

_CHARACTERS_PER_PIECE: Final = 4
"""Length of the pieces that a rare word falls into: 3.5 to 4.5 for pieces of European languages."""

_WHOLE_WORDS: Final = 0.5
"""Share of learned pieces that are whole words; the others are parts of words."""

RowT = TypeVar("RowT")


def sampled(rows: Iterable[RowT], lines: int | None, size: int) -> Iterator[RowT]:
    """Yield a sample of rows, evenly spread.

    Args:
        rows: all rows; those behind the reach of a sample are not asked for.
        lines: how many there are; None where nobody knows.
        size: bytes of the files.
    """
    reach = min(_REACH_ROWS, _REACH_ROWS if lines is None else lines)
    if lines and size > _REACH_BYTES:
        reach = min(reach, max(_ROWS, lines * _REACH_BYTES // size))
    return islice(rows, 0, reach, max(1, ceil(reach / _ROWS)))


def guessed_pieces(texts: Sequence[Sequence[str]], learned: LearnedPieces) -> list[list[int]]:
    """Return about how many pieces each text will have, before the tokenizer is trained.

    Args:
        texts: the texts that one model of the tokenizer is trained on, by column.
        learned: what it will learn.

    Returns:
        The number of pieces of each text, by column, the end of sentence not counted.
    """
    match learned.unit:
        case "character":
            return [[len("".join(text.split())) + max(len(text.split()), 1) for text in column] for column in texts]
        case "word":
            return [[len(text.split()) for text in column] for column in texts]
        case "subword":
            words = Counter(word for column in texts for text in column for word in text.split())
            whole = len(words) if learned.most is None else int(learned.most * _WHOLE_WORDS)
            known = {word for word, _ in words.most_common(whole)}
            pieces = {word: 1 if word in known else -(-len(word) // _CHARACTERS_PER_PIECE) for word in words}
            return [[sum(pieces[word] for word in text.split()) for text in column] for column in texts]


def expected_types(pieces: Sequence[Iterable[str]], share: float, threshold: int) -> int:
    """Return how many types a whole corpus will have, by those of a sample of it.

    The number of types V of a text of n tokens grows as K · n^β (Heaps 1978). β comes from every other text of the sample:
    β = log2(V(n) / V(n / 2)).

    Args:
        pieces: the pieces of each text of the sample.
        share: the sample's share of the corpus, up to 1.
        threshold: types that the whole corpus has less often than this do not count.
    """
    least = max(1, ceil(threshold * share))
    all_types = _types(pieces, least)
    half = _types(pieces[::2], max(1, ceil(threshold * share / 2)))
    if share >= 1 or half == 0:
        return all_types
    exponent = min(max(log2(all_types / half), 0.0), 1.0)
    growth: float = (1 / share) ** exponent
    return round(all_types * growth)


def _types(pieces: Iterable[Iterable[str]], least: int) -> int:
    counts = Counter(piece for text in pieces for piece in text)
    return sum(count >= least for count in counts.values())
