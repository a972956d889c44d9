"""Attention: against its formula, and one symbol at a time against all at once."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import Tensor

from specforge.modules.attention import CrossAttention, SelfAttention, attend, attend_few
from specforge.modules.key_value_cache import KeyValueCache
from specforge.modules.padding import padding_mask


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
    torch.testing.assert_close(attend_few(query, keys, values, bias), masked)


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


def test_steps_equal_the_whole() -> None:
    torch.manual_seed(1)
    attention = SelfAttention(8, 2, 0.0).double()
    values = torch.randn(3, 40, 8, dtype=torch.float64)  # longer than the cache's first room
    cache = KeyValueCache(1, 3, 2, 4, like=values)

    with torch.no_grad():
        whole = attention(values, causal=True)
        for position in range(40):
            step = attention.step(values[:, position], cache, 0)
            cache.advance()
            torch.testing.assert_close(step, whole[:, position])


def test_beams_share_the_keys_of_their_sentence() -> None:
    torch.manual_seed(1)
    attention = CrossAttention(8, 2, 0.0).double()
    memory = torch.randn(2, 5, 8, dtype=torch.float64)
    values = torch.randn(6, 8, dtype=torch.float64)  # three prefixes of each sentence
    mask = padding_mask(torch.tensor([5, 2]), 5)
    assert mask is not None
    bias = torch.zeros_like(mask, dtype=torch.float64).masked_fill(~mask, -torch.inf)

    step = attention.step(values, attention.keys_values(memory), bias)

    expected = attention(values[:, None], memory.repeat_interleave(3, 0), mask.repeat_interleave(3, 0))
    torch.testing.assert_close(step, expected[:, 0])


def test_the_cache_reorders_drops_and_grows() -> None:
    cache = KeyValueCache(2, 4, 1, 1, like=torch.zeros(1))

    def append(numbers: list[float]) -> list[list[float]]:
        rows = torch.tensor(numbers)[:, None, None]
        keys, values = cache.append(0, rows, -rows)
        cache.append(1, rows + 100, rows)
        cache.advance()
        assert torch.equal(keys, -values)
        found: list[list[float]] = keys[:, 0, :, 0].tolist()
        return found

    append([0, 1, 2, 3])
    assert append([4, 5, 6, 7]) == [[0, 4], [1, 5], [2, 6], [3, 7]]
    cache.select(torch.tensor([3, 3, 0]))
    assert append([8, 9, 10]) == [[3, 7, 8], [3, 7, 9], [0, 4, 10]]
    cache.select(torch.tensor([2, 1, 1, 1, 0]))  # more rows than ever
    assert append([11, 12, 13, 14, 15])[0] == [0, 4, 10, 11]
    for _ in range(60):
        last = append([0, 0, 0, 0, 0])
    assert last[-1][:5] == [3, 7, 8, 15, 0]


@pytest.mark.parametrize("layer", [SelfAttention(256, 4, 0.0).query_key_value, CrossAttention(256, 4, 0.0).key_value])
def test_projections_start_as_in_fairseq(layer: torch.nn.Linear) -> None:
    # Xavier uniform of a 256 x 256 block with gain 1/√2: within ±sqrt(6 / 512) / √2
    bound = sqrt(6 / 512) / sqrt(2)

    assert layer.weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert layer.weight.std().item() == pytest.approx(bound / sqrt(3), rel=0.02)
