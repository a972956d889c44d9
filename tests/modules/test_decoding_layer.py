"""Layers of transformers symbol by symbol: against the same layers over the whole length."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from specforge.models.transformer.config import TransformerConfig
from specforge.models.transformer.layers import DecoderLayer
from specforge.modules.decoding_layer import DecodingLayer
from specforge.modules.key_value_cache import KeyValueCache
from specforge.modules.packed_linear import Precision, pack_linear_layers
from specforge.modules.padding import padding_mask
from specforge.modules.places import Places
from specforge.modules.source_attention import source_attention
from specforge.modules.transformer import EncoderLayer

LENGTH = 40  # longer than the cache's first room
NORMS: tuple[Literal["post", "pre"], ...] = ("post", "pre")


def config(norm: Literal["post", "pre"]) -> TransformerConfig:
    torch.manual_seed(1)
    return TransformerConfig(embed_dim=8, ffn_dim=12, attention_heads=2, norm=norm, activation="gelu")


@torch.no_grad()
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])  # products, and loops
def test_steps_equal_the_whole(norm: Literal["post", "pre"], dtype: torch.dtype) -> None:
    layer = EncoderLayer(config(norm)).to(dtype).eval()
    layer.self_attention_residual.norm.eps = 0.1
    values = torch.randn(3, LENGTH, 8, dtype=dtype)
    whole = layer(values, None, causal=True)
    cache = KeyValueCache(2, 3, 2, 4, like=values)
    around = (layer.self_attention_residual, layer.feed_forward_residual)
    before, decoding = (DecodingLayer(n, cache, layer.self_attention, layer.feed_forward, around) for n in range(2))

    for position in range(LENGTH):
        before.step(torch.randn(3, 8, dtype=dtype))  # of another layer, which shares nothing but the cache
        step = decoding.step(values[:, position])
        cache.advance()
        torch.testing.assert_close(step, whole[:, position])
    assert decoding.weights is None


@torch.no_grad()
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("precision", ["fp32", "int8", "not packed"])
def test_steps_with_a_source_equal_the_whole(
    norm: Literal["post", "pre"], precision: Precision | Literal["not packed"]
) -> None:
    """Three sentences at first; the second ends half way, and its place goes to the third."""
    layer = DecoderLayer(config(norm)).eval()
    values, memory = torch.randn(3, 6, 8), torch.randn(3, 5, 8)
    mask = padding_mask(torch.tensor([5, 2, 4]), 5)
    assert mask is not None
    bias = torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, -torch.inf).squeeze(1)
    whole = layer(values, memory, mask)
    if precision != "not packed":
        pack_linear_layers(layer, precision)
    cache = KeyValueCache(1, 3, 2, 4, like=values)

    decoding = layer.decoding(0, cache, source_attention(layer.cross_attention, memory, bias))
    kept = torch.arange(3)
    for position in range(6):
        if position == 3:
            kept = torch.tensor([0, 2])
            cache.select(kept)
            decoding.go_on(Places(kept, 3))
            assert decoding.weights is None
        step = decoding.step(values[kept, position])
        cache.advance()
        torch.testing.assert_close(step, whole[kept, position], rtol=0.0, atol=0.1 if precision == "int8" else 1e-5)
        assert decoding.weights is not None
        torch.testing.assert_close(decoding.weights.sum(dim=-1), torch.ones(len(kept), 2, 1))
