"""What PyTorch's attention without padding should find, computed item by item; known to the compiler as one operation."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import Any

import torch
from torch import Tensor

_SCHEMA = "(Tensor query, Tensor keys, Tensor values, Tensor of, Tensor to, bool causal) -> Tensor"
_BACKWARD_SCHEMA = _SCHEMA.replace("(", "(Tensor gradient, ").replace("-> Tensor", "-> (Tensor, Tensor, Tensor)")


def _attended(query: Tensor, keys: Tensor, values: Tensor, of: Tensor, to: Tensor, causal: bool) -> Tensor:  # noqa: FBT001
    found = [_weights(q, k, causal=causal) @ v for q, k, v in _items(of, to, query, keys, values)]
    return torch.cat(found, 1).transpose(0, 1).contiguous()


def _gradients(
    gradient: Tensor,
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    of: Tensor,
    to: Tensor,
    causal: bool,  # noqa: FBT001
) -> tuple[Tensor, ...]:
    scale = 1.0 / sqrt(query.shape[-1])
    parts = []
    for (q, k, v), slope in zip(_items(of, to, query, keys, values), _split(gradient, of), strict=True):
        weights = _weights(q, k, causal=causal)
        of_weights = slope @ v.mT
        of_scores = weights * (of_weights - (of_weights * weights).sum(-1, keepdim=True)) * scale
        parts.append((of_scores @ k, of_scores.mT @ q, weights.mT @ slope))
    return tuple(torch.cat(part, 1).transpose(0, 1).contiguous() for part in zip(*parts, strict=True))


def _items(
    of: Tensor, to: Tensor, query: Tensor, keys: Tensor, values: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield queries, keys and values [heads, length, head dim] of each item."""
    yield from zip(_split(query, of), _split(keys, to), _split(values, to), strict=True)


def _split(packed: Tensor, offsets: Tensor) -> list[Tensor]:
    return [part.transpose(0, 1) for part in packed.split(offsets.diff().tolist())]


def _weights(query: Tensor, keys: Tensor, *, causal: bool) -> Tensor:
    scores = query @ keys.mT / sqrt(query.shape[-1])
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -torch.inf)
    return scores.softmax(-1)


_operation = torch.library.custom_op("specforge_tests::packed", _attended, mutates_args=(), schema=_SCHEMA)
_backward = torch.library.custom_op(
    "specforge_tests::packed_backward", _gradients, mutates_args=(), schema=_BACKWARD_SCHEMA
)


def _like(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in tensors)


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    del output
    *tensors, ctx.causal = inputs
    ctx.save_for_backward(*tensors)


_operation.register_fake(lambda query, *_: _like(query)[0])
_backward.register_fake(lambda _, query, keys, values, *__: _like(query, keys, values))
_operation.register_autograd(
    lambda ctx, gradient: (*_backward(gradient, *ctx.saved_tensors, ctx.causal), None, None, None), setup_context=_keep
)


def reference(
    query: Tensor, keys: Tensor, values: Tensor, of: Tensor, to: Tensor, longest: int, longest_to: int, **how: Any
) -> Tensor:
    """Stand in for `torch.nn.attention.varlen.varlen_attn`."""
    assert query.shape[0] <= (len(of) - 1) * longest
    assert keys.shape[0] <= (len(to) - 1) * longest_to
    window = how.get("window_size", (-1, 0 if how.get("is_causal") else -1))
    assert window in {(-1, 0), (-1, -1)}
    found: Tensor = _operation(query, keys, values, of, to, window == (-1, 0))
    return found
