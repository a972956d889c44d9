"""Batches decoded by several processes: the same hypotheses to the last bit, and errors that come through."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from specforge.foundation.errors import StepFailedError, WrongInputError
from specforge.generation.sharing import DecodingBatch, SharedDecoder
from specforge.searches.search import Constraints, Hypothesis

BATCHES = [
    DecodingBatch([np.array([5, 2]), np.array([6, 7, 2])]),
    DecodingBatch([np.array([9, 2])], [Constraints((4,), ((8, 8), (5,)))]),
    DecodingBatch([np.array([4, 4, 4, 2])]),
]


def echo(batch: DecodingBatch) -> list[list[Hypothesis]]:
    """Two hypotheses of each source, which say what came and where it was decoded."""
    constraints = batch.constraints or [Constraints()] * len(batch.sources)
    return [
        [
            Hypothesis((*source.tolist(), *each.prefix), -1 / 3, (-0.1, -1e-12), np.array([[1 / 3]], dtype=np.float32)),
            Hypothesis(tuple(symbol for phrase in each.phrases for symbol in phrase), -float(os.getpid()), ()),
        ]
        for source, each in zip(batch.sources, constraints, strict=True)
    ]


def test_what_comes_of_a_batch_does_not_depend_on_the_number_of_processes() -> None:
    here, there = (list(SharedDecoder(echo, processes).decoded(BATCHES)) for processes in (1, 2))

    assert [each[0] for batch in here for each in batch] == [each[0] for batch in there for each in batch]
    for expected, found in zip(here, there, strict=True):
        for one, other in zip(expected, found, strict=True):
            assert one[1].tokens == other[1].tokens
            assert one[0].attention is not None
            assert one[0].attention.tobytes() == other[0].attention.tobytes()  # type: ignore[union-attr]
            assert other[1].attention is None
    assert (5, 2) == there[0][0][0].tokens
    assert (9, 2, 4) == there[1][0][0].tokens
    assert (8, 8, 5) == there[1][0][1].tokens


def test_several_batches_are_decoded_elsewhere_and_a_single_one_here() -> None:
    decoder = SharedDecoder(echo, 2)
    first = {batch[0][1].score for batch in decoder.decoded(BATCHES)}
    again = {batch[0][1].score for batch in decoder.decoded(BATCHES)}

    assert 2 == len(first)
    assert first == again, "the processes stay"
    assert -float(os.getpid()) not in first
    assert {-float(os.getpid())} == {batch[0][1].score for batch in decoder.decoded(BATCHES[:1])}


def test_processes_remember_no_gradients() -> None:
    def decode(batch: DecodingBatch) -> list[list[Hypothesis]]:
        assert torch.is_inference_mode_enabled()
        return echo(batch)

    assert 3 == len(list(SharedDecoder(decode, 2).decoded(BATCHES)))


def test_errors_come_through() -> None:
    def refuse(batch: DecodingBatch) -> list[list[Hypothesis]]:
        if batch.constraints:
            raise WrongInputError("SF686", "no phrases here")
        return echo(batch)

    with pytest.raises(WrongInputError, match="no phrases here"):
        list(SharedDecoder(refuse, 2).decoded(BATCHES))


def test_a_process_that_dies_is_an_error() -> None:
    def die(batch: DecodingBatch) -> list[list[Hypothesis]]:
        os._exit(len(batch.sources))

    with pytest.raises(StepFailedError, match="a process that decodes died"):
        list(SharedDecoder(die, 2).decoded(BATCHES))
