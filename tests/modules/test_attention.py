"""Attention: against its formula, and one symbol at a time against all at once."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import Tensor

from specforge.modules.attention import SelfAttention, attend
from specforge.modules.few_queries import attend_few
from specforge.modules.key_value_cache import KeyValueCache
from specforge.modules.padding import padding_mask
from specforge.modules.places import Places

_NUMBERS = 100


def _formula(query: Tensor, keys: Tensor, values: Tensor, allowed: Tensor) -> Tensor:
    scores = query @ keys.transpose(-1, -2) / sqrt(query.shape[-1])
    return scores.masked_fill(~allowed, -torch.inf).softmax(dim=-1) @ values


def test_attend_is_the_formula() -> None:
    torch.manual_seed(1)
    query, keys, values = torch.randn(3, 2, 4, 5, 6, dtype=torch.float64).unbind(0)
    mask = padding_mask(torch.tensor([5, 2]), 5)
    assert mask is not None
    everywhere = torch.ones(5, 5, dtype=torch.bool)

    masked = attend(query, keys, values, mask, 0.0, causal=False)
    causal = attend(query, keys, values, None, 0.0, causal=True)

    torch.testing.assert_close(masked, _formula(query, keys, values, mask))
    torch.testing.assert_close(causal, _formula(query, keys, values, everywhere.tril()))
    bias = torch.zeros_like(mask, dtype=torch.float64).masked_fill(~mask, -torch.inf)
    bias = bias.expand(2, 4, 1, 5).flatten(0, 1)
    torch.testing.assert_close(attend_few(query, keys.flatten(0, 1), values.flatten(0, 1), bias)[0], masked)


@pytest.mark.parametrize("length", [1, 15, 16, 17])
def test_few_queries_with_keys_of_any_number(length: int) -> None:
    """Below 16 keys many rows take another way than few."""
    torch.manual_seed(1)
    query = torch.randn(3, 40, 2, 4, dtype=torch.float64)
    keys, values = torch.randn(2, 3, 40, length, 4, dtype=torch.float64).unbind(0)
    everywhere = torch.ones(2, length, dtype=torch.bool)

    found, weights = attend_few(query, keys.flatten(0, 1), values.flatten(0, 1))

    torch.testing.assert_close(found, _formula(query, keys, values, everywhere))
    assert (3, 40, 2, length) == weights.shape
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 40, 2, dtype=torch.float64))


@pytest.mark.parametrize("length", [5, 128, 129])
@pytest.mark.parametrize("looking", ["everywhere", "back", "at symbols"])
def test_bfloat16_attention_on_a_cpu_stays_near_the_formula(length: int, looking: str) -> None:
    torch.manual_seed(1)
    inputs = torch.randn(3, 2, 4, length, 8)
    mask = padding_mask(torch.tensor([length, 3]), length) if looking == "at symbols" else None
    rounded = inputs.bfloat16().double().requires_grad_()
    allowed = torch.ones(length, length, dtype=torch.bool)
    seen = mask if mask is not None else allowed.tril() if looking == "back" else allowed
    of_formula = _formula(rounded[0], rounded[1], rounded[2], seen)
    narrow = inputs.bfloat16().requires_grad_()

    with torch.autocast("cpu", torch.bfloat16):
        found = attend(narrow[0], narrow[1], narrow[2], mask, 0.0, causal=looking == "back")
    found.sum().backward()
    of_formula.sum().backward()

    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), of_formula, rtol=0.02, atol=0.03)
    assert narrow.grad is not None
    assert rounded.grad is not None
    torch.testing.assert_close(narrow.grad.double(), rounded.grad, rtol=0.05, atol=0.05)


def test_bfloat16_attention_drops_weights() -> None:
    torch.manual_seed(1)
    zeros, ones = torch.zeros(2, 4, 100, 8, dtype=torch.bfloat16), torch.ones(2, 4, 100, 8, dtype=torch.bfloat16)

    found = attend(zeros, zeros, ones, None, 0.25, causal=False)  # sums of 100 weights of 0.01 or nothing, over 0.75

    assert found.float().std() == pytest.approx(0.0577, rel=0.2)  # sqrt(0.25 / 0.75 / 100)
    assert found.float().mean() == pytest.approx(1.0, abs=0.01)


def test_bfloat16_attention_over_many_keys_is_computed_in_float32_on_a_cpu() -> None:
    torch.manual_seed(1)
    query, keys, values = torch.randn(3, 2, 4, 129, 6).bfloat16().unbind(0)
    expected = attend(query.float(), keys.float(), values.float(), None, 0.0, causal=True)

    with torch.autocast("cpu", torch.bfloat16):
        found = attend(query, keys, values, None, 0.0, causal=True)

    assert torch.equal(found, expected.bfloat16())


def test_no_padding_needs_no_mask() -> None:
    assert padding_mask(torch.tensor([3, 3]), 3) is None
    mask = padding_mask(torch.tensor([3, 1]), 3)
    assert mask is not None
    assert mask.squeeze().tolist() == [[True, True, True], [True, False, False]]


def test_one_product_for_queries_keys_and_values_is_three() -> None:
    torch.manual_seed(1)
    attention = SelfAttention(8, 2, 0.0).double()
    values = torch.randn(2, 3, 8, dtype=torch.float64)
    weights, biases = attention.query_key_value.weight.chunk(3), attention.query_key_value.bias.chunk(3)
    query, keys, mixed = (
        (values @ weight.T + bias).view(2, 3, 2, 4).transpose(1, 2)
        for weight, bias in zip(weights, biases, strict=True)
    )
    found = _formula(query, keys, mixed, torch.ones(3, 3, dtype=torch.bool))
    expected = attention.output(found.transpose(1, 2).reshape(2, 3, 8))

    torch.testing.assert_close(attention(values), expected)


def _cache(rows: int, beam: int, *, loops: bool) -> KeyValueCache:
    """Return a cache of two layers with one head that tells a hundred numbers apart."""
    cache = KeyValueCache(2, rows, 1, _NUMBERS, torch.zeros(1), beam)
    if not loops:
        cache._loops = None
    elif cache._loops is None:
        pytest.skip("numba is not installed")
    return cache


def _stored(cache: KeyValueCache, numbers: list[int]) -> list[list[int]]:
    """Store a number for each distinct prefix in both layers, and return all that each sees; larger ones come later."""
    values = torch.eye(_NUMBERS)[numbers]
    nothing = torch.zeros(len(numbers), 2 * _NUMBERS)  # queries and keys: all weigh the same
    found = cache.attend(0, torch.cat((nothing, values), dim=1))
    later = cache.attend(1, torch.cat((nothing, values.roll(1, dims=1)), dim=1))
    torch.testing.assert_close(later, found.roll(1, dims=1))
    cache.advance()
    torch.testing.assert_close(found.max(dim=1).values, 1.0 / (found > 0).sum(dim=1))
    return [row.nonzero().flatten().tolist() for row in found]


@pytest.mark.parametrize("loops", [True, False])
def test_the_cache_reorders_drops_and_grows(*, loops: bool) -> None:
    cache = _cache(4, 1, loops=loops)

    _stored(cache, [0, 1, 2, 3])
    assert _stored(cache, [4, 5, 6, 7]) == [[0, 4], [1, 5], [2, 6], [3, 7]]
    cache.select(torch.tensor([3, 3, 0]))
    assert _stored(cache, [8, 9, 10]) == [[3, 7, 8], [3, 7, 9], [0, 4, 10]]
    cache.select(torch.tensor([2, 1, 1, 1, 0]))  # more rows than ever
    assert _stored(cache, [11, 12, 13, 14, 15])[0] == [0, 4, 10, 11]


@pytest.mark.parametrize("loops", [True, False])
def test_prefixes_of_a_sentence_see_what_they_continue(*, loops: bool) -> None:
    """Two prefixes of each of three sentences; then the middle one is dropped."""
    cache = _cache(6, 2, loops=loops)

    assert _stored(cache, [0, 2, 4]) == [[0], [2], [4]]  # the prefixes of a sentence begin alike
    cache.select(torch.tensor([0, 0, 2, 3, 4, 4]))
    assert _stored(cache, [6, 7, 8, 9, 10, 11]) == [[0, 6], [0, 7], [2, 8], [2, 9], [4, 10], [4, 11]]
    cache.select(torch.tensor([1, 0, 5, 5]), Places(torch.tensor([0, 2]), 3))
    assert _stored(cache, [12, 13, 14, 15]) == [[0, 7, 12], [0, 6, 13], [4, 11, 14], [4, 11, 15]]
    for number in range(16, 80, 2):  # more than there is room for at first
        cache.select(torch.tensor([1, 0, 2, 3]))
        seen = _stored(cache, [number, number + 1, number, number + 1])
    assert [0, 7, 12, 17, 18] == seen[0][:5]
    assert [4, 11, 15, 17, 19, 21] == seen[3][:6]
    assert {35} == {len(row) for row in seen}
