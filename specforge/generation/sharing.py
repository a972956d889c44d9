"""Batches decoded by several processes, each with the models that it was forked with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from specforge.data.ordered_map import ForkedPool
from specforge.searches.search import Constraints, Hypothesis


@dataclass(frozen=True, slots=True)
class DecodingBatch:
    """Sentences that are decoded together.

    Args:
        sources: [length] of each sentence, EOS at the end.
        constraints: of each sentence; empty where there are none.
    """

    sources: Sequence[NDArray[np.integer]]
    constraints: Sequence[Constraints] = ()


Decode: TypeAlias = Callable[[DecodingBatch], list[list[Hypothesis]]]
"""From a batch to the hypotheses of each of its sentences, best first."""

Elsewhere: TypeAlias = Callable[[int], Decode]
"""From the number of a process, from 0, to what decodes there, on a device of its own; called in that process."""


class SharedDecoder:
    """Decodes batches in several processes; what comes of a batch does not depend on how many there are.

    Args:
        decode: on a CPU, with one thread where there are several processes: forks of more would wait for each other for good.
        processes: how many decode; 1 is this one.
        elsewhere: what makes the decoder of each process, from its number; None where `decode` is forked with it.
    """

    def __init__(self, decode: Decode, processes: int, elsewhere: Elsewhere | None = None) -> None:
        self._decode = decode
        self._processes = processes
        self._elsewhere = elsewhere
        begin = None if elsewhere is None else self._settle
        self._pool = ForkedPool(self._answer, processes, "decodes", "generate.batch_tokens or run.devices", begin)

    def decoded(self, batches: Sequence[DecodingBatch]) -> Iterator[list[list[Hypothesis]]]:
        """Yield the hypotheses of each batch, in order; a single one is decoded here, where this process can.

        Raises:
            SpecforgeError: what `decode` raised, or `elsewhere`.
            StepFailedError: SF631, a process died; SF632, `decode` raised something else.
        """
        if self._processes == 1 or (len(batches) == 1 and self._elsewhere is None):
            yield from map(self._decode, batches)
        else:
            yield from map(_hypotheses, self._pool.map(map(_message, batches)))

    def _settle(self, number: int) -> None:
        assert self._elsewhere is not None
        torch.set_num_threads(1)  # other threads are not forked: who waits for them waits for good
        self._decode = self._elsewhere(number)

    def _answer(self, message: bytes) -> bytes:
        with torch.inference_mode():  # this process never trains
            found = self._decode(_batch(message))
        records = [
            [
                [
                    each.tokens,
                    each.score,
                    each.token_scores,
                    None if each.attention is None else each.attention.tolist(),
                ]
                for each in best_first
            ]
            for best_first in found
        ]
        return json.dumps(records).encode()


def _message(batch: DecodingBatch) -> bytes:
    constraints = [[each.prefix, each.phrases] for each in batch.constraints]
    return json.dumps([[source.tolist() for source in batch.sources], constraints]).encode()


def _batch(message: bytes) -> DecodingBatch:
    sources, constraints = json.loads(message)
    return DecodingBatch(
        [np.array(source, dtype=np.int64) for source in sources],
        [Constraints(tuple(prefix), tuple(tuple(phrase) for phrase in phrases)) for prefix, phrases in constraints],
    )


def _hypotheses(answer: bytes) -> list[list[Hypothesis]]:
    """Return what an answer says, to the last bit: JSON spells numbers so that they come back as they were."""
    return [
        [
            Hypothesis(
                tuple(tokens),
                score,
                tuple(token_scores),
                None if attention is None else np.array(attention, dtype=np.float32),
            )
            for tokens, score, token_scores, attention in best_first
        ]
        for best_first in json.loads(answer)
    ]
