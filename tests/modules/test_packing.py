"""Batches without padding give the numbers of padded ones, in every attention and in all three families of models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from packed_reference import reference
from tiny_training import LABELS, VOCABULARY, Family, ListCorpus, Recipe, tiny_module, tiny_task
from torch import Tensor
from torch._dynamo.utils import counters
from torch.nn.attention import varlen

from specforge.criterions.cross_entropy.loss import CrossEntropy
from specforge.data.batch import Batch
from specforge.models.transformer_classifier.config import TransformerClassifierConfig
from specforge.models.transformer_classifier.model import build
from specforge.modules import packing as packing_module
from specforge.modules.attention import CrossAttention, SelfAttention
from specforge.modules.packing import Packing, packing, packs
from specforge.modules.padding import padding_mask
from specforge.plugin import ModelContext, Symbols
from specforge.tasks.sentence_classification.task import SentenceClassificationTask
from specforge.training.layers import checkpoint_layers, compile_layers
from specforge.training.module import TrainingModule

_FAMILIES: tuple[Family, ...] = ("transformer", "transformer_lm", "transformer_classifier")
_CUDA = torch.device("cuda", 0)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing_module, "varlen_attn", reference)


@pytest.fixture
def everywhere(kernel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have models go without padding on a processor, too."""
    del kernel
    monkeypatch.setattr("specforge.modules.transformer.packs", lambda *_: True)


def _packing(lengths: Tensor) -> Packing:
    found = packing(lengths, int(lengths.max()), int(lengths.sum()))
    assert found is not None
    return found


def test_where_symbols_stand_by_hand() -> None:
    found = packing(torch.tensor([2, 3, 1]), 3, 6)

    assert found is not None
    assert [0, 1, 3, 4, 5, 6] == found.places.tolist()
    assert [0, 2, 5, 6] == found.offsets.tolist()
    assert torch.int32 == found.offsets.dtype
    assert 3 == found.width
    assert packing(torch.tensor([2]), 2, None) is None


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_unpacked_is_what_was_packed_with_zeros_for_padding(lengths: list[int]) -> None:
    found = _packing(torch.tensor(lengths))
    padded = torch.arange(1.0, len(lengths) * max(lengths) * 2 + 1).view(len(lengths), max(lengths), 2)
    packed = found.pack(padded)

    assert torch.equal(packed, torch.cat([row[:length] for row, length in zip(padded, lengths, strict=True)]))
    assert [packed[begin:end].shape[0] for begin, end in pairwise(found.offsets.tolist())] == lengths
    again = found.unpack(packed)
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    assert torch.equal(again, padded * real[:, :, None])


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_finds_the_same_without_padding(*, causal: bool) -> None:
    torch.manual_seed(1)
    attention, lengths = SelfAttention(8, 2, 0.0).double(), torch.tensor([4, 2, 5])
    found = _packing(lengths)
    values = torch.randn(3, 5, 8, dtype=torch.float64)

    expected = attention(values, None if causal else padding_mask(lengths, 5), causal=causal)
    torch.testing.assert_close(
        attention(found.pack(values), causal=causal, packing=found), found.pack(expected), rtol=1e-12, atol=1e-12
    )


@pytest.mark.usefixtures("kernel")
def test_cross_attention_finds_the_same_without_padding() -> None:
    torch.manual_seed(1)
    attention = CrossAttention(8, 2, 0.0).double()
    source_lengths, target_lengths = torch.tensor([4, 2, 5]), torch.tensor([1, 3, 2])
    source, target = _packing(source_lengths), _packing(target_lengths)
    memory, values = (torch.randn(3, width, 8, dtype=torch.float64) for width in (5, 3))

    expected = attention(values, memory, padding_mask(source_lengths, 5))
    found = attention(target.pack(values), source.pack(memory), None, (target, source))
    torch.testing.assert_close(found, target.pack(expected), rtol=1e-12, atol=1e-12)


def _module(family: Family) -> TrainingModule:
    return tiny_module(Recipe(family=family, dropout=0.0, dtype=torch.float64))


def _batch(family: Family, items: int) -> Batch:
    corpus = ListCorpus(items, seed=5, family=family)
    return tiny_task(Recipe(family=family)).collate(corpus.items)


def _gradients(module: TrainingModule, batch: Batch) -> Iterator[tuple[str, Tensor]]:
    loss = module(batch).total
    module.zero_grad()
    loss.backward()
    yield "loss", loss.detach()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        yield name, parameter.grad


def _check_gradients(family: Family, found: TrainingModule, batch: Batch) -> None:
    """Compare with those of a padded batch: a batch whose symbols nobody has counted is one."""
    expected = dict(_gradients(_module(family), replace(batch, symbols={})))
    for name, gradient in _gradients(found, batch):
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("family", _FAMILIES)
def test_models_learn_the_same_without_padding(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = _batch(family, 7)
    assert {"transformer": {"source", "target"}}.get(family, {"text"}) == batch.symbols.keys()
    _check_gradients(family, _module(family), batch)

    def refused(*_: object, **__: object) -> Tensor:
        raise AssertionError("padded")

    monkeypatch.setattr("specforge.modules.attention.attend", refused)
    _module(family)(batch)
    with pytest.raises(AssertionError, match="padded"):
        _module(family).eval()(batch)


@pytest.mark.usefixtures("everywhere")
def test_a_symbol_that_the_model_adds_is_packed_too() -> None:
    def first() -> TrainingModule:
        """Read the label off the vector of `<s>`."""
        sizes = {"encoder_layers": 1, "embed_dim": 8, "ffn_dim": 12, "attention_heads": 2, "dropout": 0.0}
        config = TransformerClassifierConfig.model_validate({**sizes, "pooling": "cls", "pooler_dropout": 0.0})
        torch.manual_seed(1)
        model = build(config, ModelContext({"text": Symbols(VOCABULARY)}, labels={"label": LABELS}))
        return TrainingModule(SentenceClassificationTask(), model, CrossEntropy()).double().train()

    batch = _batch("transformer_classifier", 7)
    padded = dict(_gradients(first(), replace(batch, symbols={})))
    for name, gradient in _gradients(first(), batch):
        torch.testing.assert_close(gradient, padded[name], rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("family", _FAMILIES)
def test_layers_that_compute_twice_do_so_without_padding(family: Family) -> None:
    module = _module(family)
    checkpoint_layers(module.model)

    _check_gradients(family, module, _batch(family, 7))


@pytest.mark.usefixtures("everywhere")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_layers_are_compiled_once_for_all_numbers_of_symbols() -> None:
    torch._dynamo.reset()
    module = _module("transformer")
    compile_layers(module.model, "aot_eager")
    for items in (5, 8):
        _check_gradients("transformer", module, _batch("transformer", items))
    counters.clear()
    with torch.compiler.set_stance("fail_on_recompile"):
        for items in range(3, 12):
            _check_gradients("transformer", module, _batch("transformer", items))

    assert not counters["stats"]["unique_graphs"]
    assert not counters["graph_break"]
    torch._dynamo.reset()


def test_only_half_precision_on_cuda_without_dropout_of_weights_goes_without_padding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packing_module, "_is_new_enough", lambda _: True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not packs(torch.device("cpu"), 64, 0.0)
    assert not packs(_CUDA, 64, 0.0)  # no autocast
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: kind == "cuda")
    for half, wanted in ((torch.bfloat16, True), (torch.float16, True), (torch.float32, False)):
        monkeypatch.setattr(torch, "get_autocast_dtype", lambda _, half=half: half)
        assert wanted == packs(_CUDA, 64, 0.0)
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda _: torch.bfloat16)
    assert not packs(_CUDA, 64, 0.1)
    assert not packs(_CUDA, 512, 0.0)
    assert not packs(_CUDA, 60, 0.0)
    monkeypatch.setattr(packing_module, "_OPTIONS", frozenset())
    assert not packs(_CUDA, 64, 0.0)


@pytest.mark.gpu
@pytest.mark.parametrize("family", _FAMILIES)
def test_the_kernel_finds_what_padded_attention_finds(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(family=family, dropout=0.0, embed_dim=64)
    calls, kernel = list[int](), varlen.varlen_attn

    def noting(*tensors: Any, **how: Any) -> Any:
        calls.append(1)
        return kernel(*tensors, **how)

    monkeypatch.setattr(packing_module, "varlen_attn", noting)
    batch = _batch(family, 7).to(_CUDA)
    found = []
    for each in (batch, replace(batch, symbols={})):
        with torch.autocast("cuda", dtype=torch.bfloat16):
            module = tiny_module(recipe).to(_CUDA)
            found.append(dict(_gradients(module, each)))

    assert calls
    for name, gradient in found[0].items():
        scale = found[1][name].abs().max().item()
        torch.testing.assert_close(gradient, found[1][name], rtol=0.05, atol=0.03 * scale, msg=name)
