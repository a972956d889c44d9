from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_training import ListCorpus, Recipe, TinyTask, tiny_module, tiny_optimizer, tiny_trainer
from torch import Tensor

from specforge.data.batch import SequencePairBatch
from specforge.data.batching import Budget, Items, Measures, micro_batches
from specforge.foundation.errors import EnvironmentFaultError
from specforge.training.memory_probe import MemoryProbe, is_out_of_memory, worst_micro_batches
from specforge.training.module import TrainingModule
from specforge.training.parallel.ddp import Replicated
from specforge.training.parallel.process import Parallel
from specforge.training.settings import Every
from specforge.training.weights import module_weights

_CPU = Parallel(torch.device("cpu"))
_RECIPE = Recipe(max_updates=4, checkpoint_every=Every(1_000, "update"), validate_every=Every(1_000, "update"))
_SAID_BY_A_PROCESSOR = (
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "8000000000 bytes. Error code 12 (Cannot allocate memory)"
)


@dataclass
class _Sizes:
    """Items of given lengths of source and target."""

    pairs: Sequence[tuple[int, int]]

    def measure(self, items: Items) -> Measures:
        chosen = np.array([self.pairs[item] for item in items], dtype=np.int64).reshape(-1, 2)
        lengths = {"source": chosen[:, 0], "target": chosen[:, 1]}
        return Measures(lengths, lengths["target"], np.maximum(chosen[:, 0], chosen[:, 1]))


def test_the_widest_items_and_those_with_most_targets_are_tried() -> None:
    # 20 tokens hold two items ten wide, with 4 targets, or four items five wide, with 20
    sizes = _Sizes([(5, 5), (10, 2), (5, 5), (10, 2), (5, 5), (2, 1), (5, 5), (9, 1)])

    found = worst_micro_batches(8, sizes.measure, Budget(tokens=100), max_tokens=20)
    assert [{1, 3}, {0, 2, 4, 6}] == [set(items.tolist()) for items in found]


def test_an_update_that_holds_less_than_a_micro_batch_limits_it() -> None:
    sizes = _Sizes([(5, 5)] * 9)

    assert {3} == {len(items) for items in worst_micro_batches(9, sizes.measure, Budget(tokens=17), max_tokens=40)}
    assert {2} == {len(items) for items in worst_micro_batches(9, sizes.measure, Budget(sentences=2), max_tokens=40)}


_PAIRS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=30)


@given(_PAIRS, st.integers(12, 60), st.integers(12, 60))
def test_they_are_legal_and_no_micro_batch_is_wider_or_has_more_targets(
    pairs: list[tuple[int, int]], max_tokens: int, batch_tokens: int
) -> None:
    sizes = _Sizes(pairs)
    found = worst_micro_batches(len(pairs), sizes.measure, Budget(tokens=batch_tokens), max_tokens)

    measured = [sizes.measure(items) for items in found]
    for items, measures in zip(found, measured, strict=True):
        assert len(set(items.tolist())) == len(items)
        assert len(items) * int(measures.width.max()) <= max_tokens
        assert int(measures.cost.sum()) <= batch_tokens
    whole = sizes.measure(np.arange(len(pairs)))
    cut = micro_batches(np.arange(len(pairs)), whole.width, max_tokens)
    assert max(int(measures.width.max()) for measures in measured) == int(whole.width.max())
    if whole.cost.sum() <= batch_tokens:  # then all items are one update, and these its micro-batches
        assert max(int(measures.cost.sum()) for measures in measured) >= max(
            int(sizes.measure(items).cost.sum()) for items in cut
        )


def _probe(module: TrainingModule, recipe: Recipe, corpus: ListCorpus | None = None) -> MemoryProbe:
    corpus = corpus or ListCorpus(recipe.items, seed=1)
    budget = Budget(tokens=recipe.batch_tokens)
    optimizer = tiny_optimizer(recipe, module)
    return MemoryProbe(
        Replicated(module, _CPU),
        optimizer,
        TinyTask(),
        corpus,
        corpus.measure,
        recipe.items,
        budget,
        recipe.precision,
        _CPU,
    )


@pytest.mark.parametrize("recipe", [_RECIPE, replace(_RECIPE, plain=True)], ids=["adam", "sgd"])
def test_training_comes_to_equal_bits_with_and_without_it(recipe: Recipe, tmp_path: Path) -> None:
    trainer, expected = tiny_trainer(recipe, tmp_path / "without")
    trainer.train()
    trainer, found = tiny_trainer(recipe, tmp_path / "with")
    corpus = ListCorpus(recipe.items, seed=1)
    before = torch.get_rng_state()
    MemoryProbe(
        trainer._strategy,
        trainer._updater._optimizer,
        TinyTask(),
        corpus,
        corpus.measure,
        recipe.items,
        Budget(tokens=24),
        "fp32",
        _CPU,
    ).check(recipe.max_tokens)

    assert torch.equal(before, torch.get_rng_state())
    assert not trainer._updater._optimizer.state
    assert all(parameter.grad is None for parameter in found.parameters())
    trainer.train()
    weights = module_weights(found)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in module_weights(expected).items())


def test_what_a_forward_pass_counts_in_buffers_is_put_back() -> None:
    module = tiny_module(_RECIPE)
    passes = torch.zeros(())
    module.model.register_buffer("passes", passes)
    features = module.model.features

    def counting(batch: SequencePairBatch) -> Tensor:
        passes.add_(1)
        return features(batch)

    module.model.features = counting  # type: ignore[assignment, method-assign]
    _probe(module, _RECIPE).check(_RECIPE.max_tokens)

    assert 0.0 == passes.item()


class _SmallMemory(TinyTask):
    """A task whose batches need memory that is not there, above some size."""

    def __init__(self, most: int, error: type[Exception]) -> None:
        super().__init__()
        self._most, self._error = most, error

    def collate(self, items: Sequence[Mapping[str, NDArray[np.integer]]]) -> SequencePairBatch:
        batch = super().collate(items)
        if len(items) * max(batch.sides().values()) > self._most:
            raise self._error(_SAID_BY_A_PROCESSOR)
        return batch


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, torch.OutOfMemoryError])
@pytest.mark.parametrize("most", [100, 257, 400])
def test_the_message_names_what_fits(most: int, error: type[Exception]) -> None:
    recipe = replace(_RECIPE, items=200, batch_tokens=10_000)
    module, corpus = tiny_module(recipe), ListCorpus(200, seed=1)
    probe = MemoryProbe(
        Replicated(module, _CPU), tiny_optimizer(recipe, module), _SmallMemory(most, error), corpus, corpus.measure, 200,
        Budget(tokens=10_000), "fp32", _CPU,
    )  # fmt: skip
    with pytest.raises(EnvironmentFaultError) as caught:
        probe.check(512)

    assert "SF678" == caught.value.code
    assert "a micro-batch of 64 items, 8 tokens wide, does not fit into the memory of `cpu`" == caught.value.message
    named = int((caught.value.help or "").split()[3].rstrip(","))
    probe.check(named)
    with pytest.raises(EnvironmentFaultError):
        probe.check(named + max(named // 32, 1) + 8)


def test_where_not_one_item_fits_it_says_so() -> None:
    module, corpus = tiny_module(_RECIPE), ListCorpus(40, seed=1)
    probe = MemoryProbe(
        Replicated(module, _CPU), tiny_optimizer(_RECIPE, module), _SmallMemory(1, RuntimeError), corpus, corpus.measure, 40,
        Budget(tokens=24), "fp32", _CPU,
    )  # fmt: skip
    with pytest.raises(EnvironmentFaultError) as caught:
        probe.check(16)

    assert (caught.value.help or "").startswith("not even the widest item fits")


def test_another_fault_stays_what_it_is() -> None:
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(ValueError("out of memory"))
    assert is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))


def test_a_micro_batch_that_does_not_fit_later_is_named_and_written_down(tmp_path: Path) -> None:
    trainer, module = tiny_trainer(_RECIPE, tmp_path)
    model = module.model
    features = model.features

    def full(batch: SequencePairBatch) -> Tensor:
        if model.told[-1] == 2:  # type: ignore[index]  # a TinyModel
            raise RuntimeError(_SAID_BY_A_PROCESSOR)
        return features(batch)

    model.features = full  # type: ignore[assignment, method-assign]
    with pytest.raises(EnvironmentFaultError) as caught:
        trainer.train()

    path = tmp_path / "out-of-memory" / "3" / "batch.json"
    found = json.loads(path.read_text())
    source, target = found["padded_to"]["source"], found["padded_to"]["target"]
    assert "SF679" == caught.value.code
    assert (
        f"out of memory in update 3, with micro-batch 0 of {len(found['items'])} items, padded to {source} tokens of source "
        f"and {target} tokens of target" == caught.value.message
    )
    assert (f"its items are in `{path}`",) == caught.value.notes
    assert all({"item", "text"} == item.keys() for item in found["items"])
