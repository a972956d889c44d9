"""Which sentences are decoded together: chosen for speed alone, for it changes nothing of what they get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

CPU_BATCH_TOKENS: Final = 10_240
"""Most source tokens that a core decodes at once, counted for each prefix. With a beam of 5, four times as many take 1.1 times as
long, since they leave its caches, and half as many 1.08 times, since products of few rows are slow."""

_SHARES: Final = 8
"""Batches that there should be, for cores to share."""

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
        shared: whether cores share the batches, so that few large ones would leave some idle. How many cores does not count:
            what is decoded together, and so the last bit of a score, would depend on the machine.

    Returns:
        The number of every sentence, once, longest first: what does not fit into memory shows at once.
    """
    order = sorted(range(len(lengths)), key=lambda number: (-lengths[number], number))
    if shared:
        share = sum(max(length, _SHORTEST) for length in lengths) // _SHARES
        batch_tokens = min(batch_tokens, max(share, _LEAST_SHARE))
    batches: list[list[int]] = []
    room = 0
    for number in order:
        if room == 0:
            batches.append([])
            room = max(1, batch_tokens // max(lengths[number], _SHORTEST))
        batches[-1].append(number)
        room -= 1
    return batches
