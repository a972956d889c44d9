"""From attention to alignment: each target unit is paired with the source unit that it looked at most.

Pieces are what the model sees. Words are what stands between white space in the text that people read: a target word looks at a
source word as much as all of its pieces together look at all of the other's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from specforge.generation.translation import Alignment


def aligned_pieces(attention: NDArray[np.float32]) -> Alignment:
    """Return a pair for each target piece; ends of sentences are not aligned.

    Args:
        attention: [target pieces, source pieces].
    """
    return tuple((int(source), target) for target, source in enumerate(attention.argmax(axis=1)))


def aligned_words(
    attention: NDArray[np.float32], source_words: Sequence[int], target_words: Sequence[int]
) -> Alignment:
    """Return a pair for each target word that a piece belongs to.

    Args:
        attention: [target pieces, source pieces].
        source_words: number of the word that each source piece belongs to.
        target_words: the same of the target.
    """
    looked = np.zeros((max(target_words) + 1, max(source_words) + 1), np.float32)  # [target words, source words]
    np.add.at(looked, np.ix_(target_words, source_words), attention)
    return tuple((int(looked[word].argmax()), word) for word in sorted(set(target_words)))


def word_numbers(decode: Callable[[Sequence[str]], str], pieces: Sequence[str]) -> list[int]:
    """Return the number of the word that each piece belongs to, from 0: the last one in the text of all pieces up to it.

    A piece that adds nothing to be seen belongs to the word after it, which it begins.

    Args:
        decode: from pieces to text.
        pieces: of a line.
    """
    words = len(decode(pieces).split())
    numbers: list[int] = []
    seen = ""
    for end in range(1, len(pieces) + 1):
        text = decode(pieces[:end]).rstrip()
        so_far = len(text.split())
        number = so_far if text == seen else so_far - 1
        numbers.append(min(max(number, 0), max(words - 1, 0)))
        seen = text
    return numbers
