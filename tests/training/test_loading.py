from __future__ import annotations

import threading
from contextlib import closing
from itertools import islice

import numpy as np
import pytest
import torch
from tiny_training import ListCorpus, Recipe, tiny_loader

from specforge.data.batch import SequencePairBatch
from specforge.training.loading import PreparedUpdate
from specforge.training.parallel.process import Parallel

_RECIPE = Recipe(max_tokens=16)


def _updates(rank: int, world: int, count: int, epoch: int = 1, position: int = 0) -> list[PreparedUpdate]:
    loader = tiny_loader(_RECIPE, Parallel(torch.device("cpu"), rank, world))
    with closing(loader.updates(epoch, position)) as updates:
        return list(islice(updates, count))


def _rows(update: PreparedUpdate, *, counting: bool = True) -> list[list[int]]:
    batches = [piece.batch for piece in update.pieces if piece.counts or not counting]
    return sorted(
        [int(token) for token in row[:length]]
        for batch in batches
        if isinstance(batch, SequencePairBatch)
        for row, length in zip(batch.source, batch.source_lengths, strict=True)
    )


@pytest.mark.parametrize("world", [2, 3, 5])
def test_every_item_is_counted_by_exactly_one_process(world: int) -> None:
    alone = _updates(0, 1, count=8)
    together = [_updates(rank, world, count=8) for rank in range(world)]

    for number, update in enumerate(alone):
        shares = [process[number] for process in together]
        assert _rows(update) == sorted(row for share in shares for row in _rows(share))
        assert 1 == len({len(share.pieces) for share in shares}), "all take equally many turns"
        assert {(update.tokens, update.real, update.padded)} == {
            (share.tokens, share.real, share.padded) for share in shares
        }


def test_a_piece_has_its_number_whoever_works_on_it() -> None:
    alone = {piece.number: piece.batch.targets.tolist() for update in _updates(0, 1, 1) for piece in update.pieces}
    shared = {
        piece.number: piece.batch.targets.tolist()
        for rank in range(2)
        for update in _updates(rank, 2, 1)
        for piece in update.pieces
        if piece.counts
    }

    assert alone == shared
    assert len(alone) > 1


def test_figures_of_an_update_by_hand() -> None:
    (update,) = _updates(0, 1, count=1)
    corpus = ListCorpus(_RECIPE.items, seed=1)
    items = [corpus.items[item] for item in update.update.items]

    assert sum(len(item["target"]) for item in items) == update.tokens
    assert sum(len(item["target"]) + len(item["source"]) for item in items) == update.real
    assert update.padded == sum(
        piece.batch.items * length for piece in update.pieces for length in piece.batch.sides().values()
    )


def test_epochs_follow_each_other_from_any_place() -> None:
    whole = _updates(0, 1, count=15)
    entered = _updates(0, 1, count=5, epoch=2, position=3)

    assert [(1, 0), (1, 1)] == [(update.update.epoch, update.update.position) for update in whole[:2]]
    assert (2, 3) == (whole[9].update.epoch, whole[9].update.position)
    for expected, found in zip(whole[9:14], entered, strict=True):
        assert _rows(expected) == _rows(found)


def test_the_thread_ends_with_the_updates() -> None:
    _updates(0, 1, count=2)

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_what_goes_wrong_in_the_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: ListCorpus, index: int) -> dict[str, np.ndarray]:
        raise RuntimeError(str(index))

    monkeypatch.setattr(ListCorpus, "item", broken)
    with pytest.raises(RuntimeError, match=r"\d"):
        _updates(0, 1, count=1)


def test_for_a_gpu_batches_are_prepared_in_memory_it_copies_from(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned, devices = list[torch.Tensor](), list[tuple[str, torch.device]]()

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor.clone())
        return pinned[-1]

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(
        torch.cuda, "set_device", lambda device: devices.append((threading.current_thread().name, device))
    )
    gpu = torch.device("cuda", 1)
    with closing(tiny_loader(_RECIPE, Parallel(gpu)).updates(1, 0)) as updates:
        [update] = islice(updates, 1)

    # What is pinned in a thread is pinned for the thread's own GPU.
    assert [("batches_0", gpu)] == devices
    tensors = [tensor for piece in update.pieces for tensor in piece.batch.tensors().values()]
    assert {id(tensor) for tensor in tensors} <= {id(tensor) for tensor in pinned}
    assert _rows(update) == _rows(*_updates(0, 1, count=1))


def test_for_a_processor_nothing_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda _: pytest.fail("pinned"))

    assert _updates(0, 1, count=2)
