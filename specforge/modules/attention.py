"""Scaled dot-product attention with several heads: over the whole length in training, symbol by symbol in decoding."""

from __future__ import annotations

from math import sqrt
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from specforge.modules.dropout import dropout as drop
from specforge.modules.key_value_cache import KeyValueCache
from specforge.modules.packing import Packing, attend_packed

_SHORT: Final = 128
"""Keys up to which products in bfloat16 are quicker on a CPU than the fused kernel in float32 (256 keys: half as quick)."""


def attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float, *, causal: bool) -> Tensor:
    """Return the values as the queries weigh them.

    Args:
        query: [batch, heads, queries, head dim].
        keys: [batch, heads, length, head dim].
        values: [batch, heads, length, head dim].
        mask: broadcast to [batch, heads, queries, length], bool, True where a query may look; None for everywhere.
        dropout: probability of dropping a weight.
        causal: whether a query sees the keys up to its own position only (without a mask).

    Returns:
        [batch, heads, queries, head dim]
    """
    given = query.dtype
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, keys, values, mask, dropout, is_causal=causal)
    with torch.autocast("cpu", enabled=False):
        if given == torch.bfloat16 and keys.shape[2] <= _SHORT:
            return _attend_by_products(query, keys, values, mask, dropout, causal=causal)
        # torch's CPU kernel takes ten times longer for the gradient in bfloat16 than in float32 (53 ms against 5 ms).
        wide = torch.promote_types(given, torch.float32)
        query, keys, values = query.to(wide), keys.to(wide), values.to(wide)
        return functional.scaled_dot_product_attention(query, keys, values, mask, dropout, is_causal=causal).to(given)


def _attend_by_products(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float, *, causal: bool
) -> Tensor:
    """Return what `attend` does, holding all weights at a time: half the time of the fused kernel for short sequences."""
    scores = (query * (1.0 / sqrt(query.shape[-1]))) @ keys.transpose(-1, -2)
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril_()
    if mask is not None:
        scores = scores + torch.zeros(mask.shape, dtype=scores.dtype, device=scores.device).masked_fill_(
            ~mask, -torch.inf
        )
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(values.dtype)
    return drop(weights, dropout, training=dropout > 0.0) @ values


class SelfAttention(nn.Module):
    """Attention of a sequence to itself, with one product for queries, keys and values.

    Args:
        dim: width of the sequence, a multiple of `heads`.
        heads: number of heads.
        dropout: on the attention weights.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self._dropout = dropout
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)
        _initialise(self.query_key_value, self.output)

    def forward(
        self, values: Tensor, mask: Tensor | None = None, *, causal: bool = False, packing: Packing | None = None
    ) -> Tensor:
        """Return the attention's output.

        Args:
            values: [batch, length, dim]; with a packing [symbols, dim].
            mask: [batch, 1, 1, length] of bool, True where there is a symbol; None for everywhere.
            causal: whether a position sees only itself and those before it.
            packing: where the symbols stand; no mask is needed then.

        Returns:
            Shaped as the values.
        """
        if packing is not None:
            query, keys, mixed = self.query_key_value(values).unflatten(-1, (3, self.heads, -1)).unbind(1)
            return _joined(self.output, attend_packed(query, keys, mixed, packing, packing, causal=causal))
        query, keys, mixed = split_heads(self.query_key_value(values), 3, self.heads)
        dropout = self._dropout if self.training else 0.0
        return _output(self.output, attend(query, keys, mixed, mask, dropout, causal=causal))

    def prefill(self, values: Tensor, cache: KeyValueCache, layer: int) -> Tensor:
        """Return the causal output for the first positions, and store their keys and values for those that follow.

        Args:
            values: [sentences, length, dim].
            cache: has nothing of this layer yet.
            layer: number of this layer in the cache.

        Returns:
            [sentences, length, dim]
        """
        query, keys, mixed = split_heads(self.query_key_value(values), 3, self.heads)
        cache.fill(layer, keys, mixed)
        return _output(self.output, attend(query, keys, mixed, None, 0.0, causal=True))


class CrossAttention(nn.Module):
    """Attention of a target to an encoded source.

    Args:
        dim: width of both, a multiple of `heads`.
        heads: number of heads.
        dropout: on the attention weights.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self._dropout = dropout
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)
        _initialise(self.query, self.key_value, self.output)

    def forward(
        self, values: Tensor, memory: Tensor, mask: Tensor | None, packings: tuple[Packing, Packing] | None = None
    ) -> Tensor:
        """Return the attention's output.

        Args:
            values: [batch, target length, dim]; with packings [target symbols, dim].
            memory: [batch, source length, dim]; with packings [source symbols, dim].
            mask: [batch, 1, 1, source length] of bool, True where there is a symbol; None for everywhere.
            packings: where the symbols of target and source stand; no mask is needed then.

        Returns:
            Shaped as the values.
        """
        if packings is not None:
            target, source = packings
            packed = self.query(values).unflatten(-1, (self.heads, -1))
            keys, mixed = self.key_value(memory).unflatten(-1, (2, self.heads, -1)).unbind(1)
            return _joined(self.output, attend_packed(packed, keys, mixed, target, source, causal=False))
        (query,) = split_heads(self.query(values), 1, self.heads)
        keys, mixed = split_heads(self.key_value(memory), 2, self.heads)
        dropout = self._dropout if self.training else 0.0
        return _output(self.output, attend(query, keys, mixed, mask, dropout, causal=False))


def split_heads(projected: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """Split [batch, length, parts x dim] into `parts` tensors [batch, heads, length, head dim]."""
    split = projected.unflatten(-1, (parts, heads, -1))  # [batch, length, parts, heads, head dim]
    one_by_one: tuple[Tensor, ...] = split.permute(2, 0, 3, 1, 4).unbind(0)
    return one_by_one


def _output(layer: nn.Linear, found: Tensor) -> Tensor:
    """Join the heads [batch, heads, length, head dim] and project them: [batch, length, dim]."""
    output: Tensor = layer(found.transpose(1, 2).flatten(2))
    return output


def _joined(layer: nn.Linear, found: Tensor) -> Tensor:
    """Join the heads [symbols, heads, head dim] and project them: [symbols, dim]."""
    output: Tensor = layer(found.flatten(1))
    return output


def _initialise(*layers: nn.Linear) -> None:
    """Draw weights as fairseq does; the last layer is the output.

    Every d x d block of the queries, keys and values is Xavier uniform with gain 1/√2, the output with gain 1 and no bias.
    """
    *inputs, output = layers
    for layer in inputs:
        bound = sqrt(3.0 / (2 * layer.in_features))  # 1/√2 · sqrt(6 / (d + d))
        nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.xavier_uniform_(output.weight)
    nn.init.zeros_(output.bias)
