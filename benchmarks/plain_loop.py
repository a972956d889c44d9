"""The bare training loop that anybody could write: a transformer, its loss and its optimizer, on batches that are ready.

It stands for what PyTorch gives without a framework around it: no data reading, no logging, no checkpoints. `plain` is the
obvious program; `quick` has what is known to make it fast on a CPU: attention in float32, dropout from random bytes, and the
vocabulary in pieces with the gradient made on the way (the reference measurements found these three).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log, sqrt
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from specforge.data.batch import SequencePairBatch
from specforge.data.vocabulary import PAD

SMOOTHING: Final = 0.1
_ROWS: Final = 512
"""Targets whose logits exist at a time."""

_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of the model; names as in the spec."""

    vocabulary: int
    layers: int
    embed_dim: int
    ffn_dim: int
    attention_heads: int
    dropout: float


@dataclass(frozen=True, slots=True)
class Variant:
    """How the loop computes.

    Args:
        bf16: matrix products in bfloat16, by autocast.
        quick: with what is known to make it fast.
    """

    bf16: bool
    quick: bool


class _Dropout(nn.Module):
    def __init__(self, probability: float, *, quick: bool) -> None:
        super().__init__()
        self._probability = probability
        self._quick = quick

    def forward(self, values: Tensor) -> Tensor:
        if not self._quick:
            return functional.dropout(values, self._probability, self.training)
        dropped = round(self._probability * _BYTES)
        words = torch.empty(-(-values.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: values.numel()].view(values.shape) >= dropped
        return (values * kept).mul_(_BYTES / (_BYTES - dropped))


class _Attention(nn.Module):
    def __init__(self, sizes: Sizes, *, quick: bool) -> None:
        super().__init__()
        self._heads = sizes.attention_heads
        self._quick = quick
        self.query = nn.Linear(sizes.embed_dim, sizes.embed_dim)
        self.key_value = nn.Linear(sizes.embed_dim, 2 * sizes.embed_dim)
        self.output = nn.Linear(sizes.embed_dim, sizes.embed_dim)

    def forward(self, values: Tensor, memory: Tensor, mask: Tensor | None, *, causal: bool) -> Tensor:
        query, (keys, mixed) = self.query(values), self.key_value(memory).chunk(2, dim=-1)
        query, keys, mixed = (part.unflatten(-1, (self._heads, -1)).transpose(1, 2) for part in (query, keys, mixed))
        if self._quick:
            query, keys, mixed = query.float(), keys.float(), mixed.float()
        autocast = torch.is_autocast_enabled("cpu") and not self._quick
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            found = functional.scaled_dot_product_attention(query, keys, mixed, attn_mask=mask, is_causal=causal)
        return cast("Tensor", self.output(found.transpose(1, 2).flatten(2)))


class _Layer(nn.Module):
    def __init__(self, sizes: Sizes, *, decoder: bool, quick: bool) -> None:
        super().__init__()
        self._decoder = decoder
        self.attention = _Attention(sizes, quick=quick)
        self.cross = _Attention(sizes, quick=quick) if decoder else None
        self.inner = nn.Linear(sizes.embed_dim, sizes.ffn_dim)
        self.outer = nn.Linear(sizes.ffn_dim, sizes.embed_dim)
        self.norms = nn.ModuleList(nn.LayerNorm(sizes.embed_dim) for _ in range(3 if decoder else 2))
        self.dropout = _Dropout(sizes.dropout, quick=quick)

    def forward(self, values: Tensor, memory: Tensor | None, mask: Tensor) -> Tensor:
        own = None if self._decoder else mask
        found: list[Callable[[Tensor], Tensor]] = [
            lambda inner: self.attention(inner, inner, own, causal=self._decoder)
        ]
        if self.cross is not None:
            found.append(lambda inner: cast("nn.Module", self.cross)(inner, memory, mask, causal=False))
        found.append(lambda inner: self.outer(functional.relu(self.inner(inner))))
        for sublayer, norm in zip(found, self.norms, strict=True):
            values = norm(values + self.dropout(sublayer(values)))
        return values


class PlainTransformer(nn.Module):
    """Encoder and decoder with one table for source, target and output.

    Args:
        sizes: of the model.
        variant: how it computes.
    """

    def __init__(self, sizes: Sizes, variant: Variant) -> None:
        super().__init__()
        self._variant = variant
        self._scale = sqrt(sizes.embed_dim)
        self.table = nn.Embedding(sizes.vocabulary, sizes.embed_dim, padding_idx=PAD)
        nn.init.normal_(self.table.weight, std=1 / self._scale)
        self.encoder = nn.ModuleList(_Layer(sizes, decoder=False, quick=variant.quick) for _ in range(sizes.layers))
        self.decoder = nn.ModuleList(_Layer(sizes, decoder=True, quick=variant.quick) for _ in range(sizes.layers))
        self.dropout = _Dropout(sizes.dropout, quick=variant.quick)
        half = sizes.embed_dim // 2
        angles = torch.arange(1_024)[:, None] * torch.exp(torch.arange(half) * (-log(10_000) / (half - 1)))
        self.register_buffer("positions", torch.cat([angles.sin(), angles.cos()], dim=1), persistent=False)

    def forward(self, batch: SequencePairBatch, counted: Tensor) -> Tensor:
        """Return the loss summed over the targets at the given places [targets] of the flattened batch."""
        mask = (batch.source != PAD)[:, None, None, :]
        memory = self._embedded(batch.source)
        for layer in self.encoder:
            memory = layer(memory, None, mask)
        values = self._embedded(batch.target_in)
        for layer in self.decoder:
            values = layer(values, memory, mask)
        features = values.flatten(0, 1).index_select(0, counted)
        targets = batch.target_out.flatten().index_select(0, counted)
        if not self._variant.quick:
            logits = functional.linear(features, self.table.weight).float()
            return functional.cross_entropy(logits, targets, label_smoothing=SMOOTHING, reduction="sum")
        product = torch.bfloat16 if self._variant.bf16 else torch.float32
        with torch.autocast("cpu", enabled=False):
            return cast("Tensor", _PiecewiseLoss.apply(features, self.table.weight, targets, product))  # type: ignore[no-untyped-call]

    def _embedded(self, tokens: Tensor) -> Tensor:
        positions = cast("Tensor", self.positions)[: tokens.shape[1]]
        return cast("Tensor", self.dropout(self.table(tokens) * self._scale + positions))


class _Saved(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]


class _PiecewiseLoss(torch.autograd.Function):
    """PyTorch's label-smoothed cross entropy of a projection, some rows at a time."""

    @staticmethod
    def forward(ctx: _Saved, features: Tensor, table: Tensor, targets: Tensor, product: torch.dtype) -> Tensor:
        rows, weight = features.to(product), table.to(product)
        share = SMOOTHING / len(weight)
        of_rows, of_table = torch.empty_like(rows), torch.zeros_like(table)
        total = torch.zeros(())
        for piece, wanted in zip(rows.split(_ROWS), targets.split(_ROWS), strict=True):
            at = slice(piece.storage_offset() // rows.shape[1], piece.storage_offset() // rows.shape[1] + len(piece))
            logits = (piece @ weight.T).float()
            norm = logits.logsumexp(1, keepdim=True)
            total += norm.sum() - (1 - SMOOTHING) * logits.gather(1, wanted[:, None]).sum() - share * logits.sum()
            slopes = logits.sub_(norm).exp_().sub_(share)
            slopes.scatter_add_(1, wanted[:, None], slopes.new_full((len(wanted), 1), SMOOTHING - 1))
            slopes = slopes.to(product)
            of_rows[at] = slopes @ weight
            of_table += slopes.T @ piece
        ctx.save_for_backward(of_rows.to(features.dtype), of_table)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: _Saved, above: Tensor) -> tuple[Tensor, Tensor, None, None]:
        of_rows, of_table = ctx.saved_tensors
        return of_rows * above, of_table * above, None, None


def plain_step(sizes: Sizes, variant: Variant) -> Callable[[SequencePairBatch], None]:
    """Return what does one update on a batch."""
    model = PlainTransformer(sizes, variant).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.98), fused=True)

    def step(batch: SequencePairBatch) -> None:
        counted = batch.counted.flatten().nonzero()[:, 0]
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=variant.bf16):
            loss = model(batch, counted)
        (loss / len(counted)).backward()
        optimizer.step()
        loss.item()

    return step
