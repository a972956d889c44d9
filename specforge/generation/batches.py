"""Which sentences are decoded together: chosen for speed alone, for it changes nothing of what they get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

CPU_BATCH_TOKENS: Final = 1_024
"""Most source tokens that a core decodes at once: 0.6 times the time of 8,192 with a beam of 5, which leave its caches."""

_SHORTEST: Final = 16
"""What a sentence counts at least: a step costs a row of the vocabulary for each prefix, however short its source."""


def decoding_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Put sentences of like length together.

    Args:
        lengths: of the sources, in tokens, end of sentence counted.
        batch_tokens: largest sentences x longest source of a batch, padding counted, each sentence as 16 tokens at
            least; a sentence that is longer makes a batch of its own.

    Returns:
        The number of every sentence, once, longest first: what does not fit into memory shows at once.
    """
    order = sorted(range(len(lengths)), key=lambda number: (-lengths[number], number))
    batches: list[list[int]] = []
    room = 0
    for number in order:
        if room == 0:
            batches.append([])
            room = max(1, batch_tokens // max(lengths[number], _SHORTEST))
        batches[-1].append(number)
        room -= 1
    return batches
