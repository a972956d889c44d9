"""Which sentences are decoded together: chosen for speed alone, for it changes nothing of what they get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

CPU_BATCH_TOKENS: Final = 10_240
"""Most source tokens that a core decodes at once, counted for each prefix. With a beam of 5, four times as many take 1.1 times as
long, since they leave its caches, and half as many 1.08 times, since products of few rows are slow."""

_SHARES: Final = 4
"""Of what is left, a batch takes a quarter: cores that share the batches end at about the same time, and few batches are left
with outputs that find no end (of 1,000 sentences with a beam of 1 two have 200 symbols, which keep a core at single rows)."""

_LEAST_SHARE: Final = 1_024
"""Source tokens of a batch that is not made smaller for the sake of sharing: what stays behind would be too few rows."""

_SHORTEST: Final = 16
"""What a sentence counts at least: a step costs a row of the vocabulary for each prefix, however short its source."""


def decoding_batches(lengths: Sequence[int], batch_tokens: int, *, shared: bool = False) -> list[list[int]]:
    """Put sentences of like length together.

    Args:
        lengths: of the sources, in tokens, end of sentence counted.
        batch_tokens: largest sentences x longest source of a batch, padding counted, each sentence as 16 tokens at
            least; a sentence that is longer makes a batch of its own.
        shared: whether cores share the batches: they become smaller, so that none is idle at the end. How many cores does
            not count: what is decoded together, and so the last bit of a score, would depend on the machine.

    Returns:
        The number of every sentence, once, longest first: what does not fit into memory shows at once.
    """
    order = sorted(range(len(lengths)), key=lambda number: (-lengths[number], number))
    counted = [max(length, _SHORTEST) for length in lengths]
    left = sum(counted)
    batches: list[list[int]] = []
    room = 0
    for number in order:
        if room == 0:
            budget = min(batch_tokens, max(left // _SHARES, _LEAST_SHARE)) if shared else batch_tokens
            room = max(1, budget // counted[number])
            batches.append([])
        batches[-1].append(number)
        left -= counted[number]
        room -= 1
    return batches
