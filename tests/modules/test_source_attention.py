"""Attention to sources, step by step, in both forms: against attention over the whole length."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from specforge.modules.attention import CrossAttention
from specforge.modules.packed_linear import Precision, pack_linear_layers
from specforge.modules.padding import padding_mask
from specforge.modules.places import Places
from specforge.modules.source_attention import AbsorbedSource, ProjectedSource, SourceAttention, source_attention

FORMS = [AbsorbedSource, ProjectedSource]
DTYPES = [torch.float64, torch.float32]
"""What products are computed in, and what there are loops for."""
PREFIXES = 3


def _attention(dtype: torch.dtype) -> CrossAttention:
    """Return attention with biases other than 0, of width 8 with two heads."""
    torch.manual_seed(1)
    attention = CrossAttention(8, 2, 0.0).to(dtype)
    for layer in (attention.query, attention.key_value, attention.output):
        torch.nn.init.normal_(layer.bias)
    return attention


def _sources(lengths: list[int], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return sources [sentences, longest, 8], which of their symbols count, and the bias that says so."""
    torch.manual_seed(2)
    memory = torch.randn(len(lengths), max(lengths), 8, dtype=dtype)
    mask = padding_mask(torch.tensor(lengths), max(lengths))
    if mask is None:
        mask = torch.ones(len(lengths), 1, 1, max(lengths), dtype=torch.bool)
    bias = torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, -torch.inf)
    return memory, mask, bias.squeeze(1)


def _heads(attention: CrossAttention, memory: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = attention.key_value(memory).unflatten(-1, (2, 2, 4)).permute(2, 0, 3, 1, 4)
    return keys, values


def _check(source: SourceAttention, attention: CrossAttention, memory: Tensor, mask: Tensor) -> None:
    """Make sure that three prefixes of each sentence find what attention over the whole length finds."""
    values, sums = torch.randn(2, PREFIXES * len(memory), 8, dtype=memory.dtype)
    found, weights = source.step(values, sums), source.weights
    expected = attention(values[:, None], memory.repeat_interleave(PREFIXES, 0), mask.repeat_interleave(PREFIXES, 0))
    torch.testing.assert_close(found, sums + expected[:, 0])
    assert weights is not None
    assert (len(memory), 2, PREFIXES, memory.shape[1]) == weights.shape
    torch.testing.assert_close(weights.sum(-1), torch.ones(len(memory), 2, PREFIXES, dtype=memory.dtype))
    assert not weights.masked_select(~mask).any()


@torch.no_grad()
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lengths", [[5, 2], [5], [20, 17, 3], [16, 16]])
def test_a_step_finds_what_attention_over_the_whole_length_finds(
    form: type[AbsorbedSource | ProjectedSource], lengths: list[int], dtype: torch.dtype
) -> None:
    attention = _attention(dtype)
    memory, mask, bias = _sources(lengths, dtype)

    source = form(attention, *_heads(attention, memory), bias)

    _check(source, attention, memory, mask)


@torch.no_grad()
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("going_on", [[0, 3, 2], [2, 0, 1, 3], [1], [0, 0, 1, 2, 3, 3]])
def test_sentences_that_go_on_keep_their_sources(
    form: type[AbsorbedSource | ProjectedSource], going_on: list[int], dtype: torch.dtype
) -> None:
    attention = _attention(dtype)
    memory, mask, bias = _sources([20, 9, 20, 17], dtype)
    chosen = torch.tensor(going_on)

    source = form(attention, *_heads(attention, memory), bias).select(Places(chosen, 4))

    _check(source, attention, memory[chosen], mask[chosen])


@torch.no_grad()
def test_a_batch_that_shrinks_absorbs_what_it_has_left() -> None:
    attention = CrossAttention(256, 4, 0.0)
    memory, values, sums = torch.randn(9, 20, 256), torch.randn(2, 256), torch.randn(2, 256)
    expected = sums + attention(values[:, None], memory[[0, 5]], None)[:, 0]
    pack_linear_layers(attention, "fp32")

    many = source_attention(attention, memory, None)
    few = many.select(Places(torch.tensor([0, 5]), 9))

    assert isinstance(many, ProjectedSource)
    assert isinstance(few, AbsorbedSource)
    torch.testing.assert_close(few.step(values, sums), expected)


@torch.no_grad()
@pytest.mark.parametrize(
    ("precision", "form"), [("fp32", AbsorbedSource), ("bf16", ProjectedSource), ("int8", ProjectedSource)]
)
def test_rounded_weights_are_not_absorbed(precision: Precision, form: type[SourceAttention]) -> None:
    attention = CrossAttention(64, 2, 0.0)
    memory, values, sums = torch.randn(2, 5, 64), torch.randn(2, 64), torch.randn(2, 64)
    expected = sums + attention(values[:, None], memory, None)[:, 0]
    pack_linear_layers(attention, precision)

    source = source_attention(attention, memory, None)

    assert type(source) is form
    torch.testing.assert_close(source.step(values, sums), expected, rtol=0.0, atol=1e-5 if precision == "fp32" else 0.1)


@torch.no_grad()
@pytest.mark.parametrize(
    ("dim", "heads", "sentences", "length", "form"),
    [
        (256, 4, 8, 16, AbsorbedSource),  # 8 x 4 x 16 x 256 are 131,072
        (256, 4, 8, 17, ProjectedSource),
        (256, 4, 9, 3, ProjectedSource),  # shorter ones count as 16
        (512, 8, 1, 32, AbsorbedSource),
        (512, 8, 1, 33, ProjectedSource),
        (1024, 16, 1, 3, ProjectedSource),
    ],
)
def test_what_would_crowd_the_caches_is_not_absorbed(
    dim: int, heads: int, sentences: int, length: int, form: type[SourceAttention]
) -> None:
    memory = torch.randn(sentences, length, dim)

    assert type(source_attention(CrossAttention(dim, heads, 0.0), memory, None)) is form


@torch.no_grad()
def test_both_layers_must_be_exact_and_on_a_cpu() -> None:
    class Derived(nn.Linear):
        """Who knows what it computes."""

    for name in ("query", "output"):
        attention = CrossAttention(64, 2, 0.0)
        setattr(attention, name, Derived(64, 64))
        assert type(source_attention(attention, torch.randn(1, 5, 64), None)) is ProjectedSource
    elsewhere = CrossAttention(64, 2, 0.0).to("meta")
    assert type(source_attention(elsewhere, torch.randn(1, 5, 64, device="meta"), None)) is ProjectedSource


def test_sentences_that_stay_are_not_moved() -> None:
    values = torch.arange(8).view(4, 2)

    kept = Places(torch.tensor([0, 3, 2]), 4).kept(values)

    assert kept.tolist() == [[0, 1], [6, 7], [4, 5]]
    assert kept.data_ptr() == values.data_ptr()
    assert Places(torch.tensor([3, 2]), 4).kept(torch.arange(4)).tolist() == [3, 2]
    assert Places(torch.tensor([0, 1, 2, 3, 3]), 4).kept(torch.arange(4)).tolist() == [0, 1, 2, 3, 3]


def test_gradients_are_not_in_the_way() -> None:
    """A batch that shrinks absorbs its sources, whoever asks."""
    attention = CrossAttention(256, 4, 0.0)
    memory, values = torch.randn(9, 20, 256), torch.randn(2, 256)

    few = source_attention(attention, memory, None).select(Places(torch.tensor([0, 5]), 9))

    assert isinstance(few, AbsorbedSource)
    expected = attention(values[:, None], memory[[0, 5]], None)[:, 0]
    torch.testing.assert_close(few.step(values, torch.zeros_like(values)), expected)
