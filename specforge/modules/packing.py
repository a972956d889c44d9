"""Batches without padding: the symbols of all items in one row, and attention inside of each item.

This is for CUDA, where there is a kernel for it. Nothing here waits for the device: how many symbols there are is known on the
host, and where they stand is found out on the device.
"""

from __future__ import annotations

from functools import cache
from inspect import signature
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:
    _OPTIONS = frozenset[str]()
else:
    _OPTIONS = frozenset(signature(varlen_attn).parameters)  # they differ between versions
# Split keys have given NaN (pytorch#179760).
_FURTHER: Final[dict[str, Any]] = {"num_splits": 1} if "num_splits" in _OPTIONS else {}

_HALVES: Final = frozenset({torch.bfloat16, torch.float16})
_WIDEST_HEAD: Final = 256
_HEAD_STEP: Final = 8
_OLDEST: Final = (8, 0)  # Ampere


class Packing(NamedTuple):
    """Where the symbols of a padded batch stand when they follow each other without padding.

    Args:
        places: [symbols] of int64: the place of each among all places [batch x width].
        offsets: [batch + 1] of int32: where each item begins among the symbols, and their number.
        width: of the padded batch: no item is longer.
    """

    places: Tensor
    offsets: Tensor
    width: int

    def pack(self, padded: Tensor) -> Tensor:
        """Return the symbols [symbols, dim] of a padded batch [batch, width, dim]."""
        return padded.flatten(0, 1).index_select(0, self.places)

    def unpack(self, packed: Tensor) -> Tensor:
        """Return symbols [symbols, dim] in their places [batch, width, dim], zeros elsewhere."""
        batch = len(self.offsets) - 1
        padded = packed.new_zeros(batch * self.width, packed.shape[-1]).index_copy(0, self.places, packed)
        return padded.view(batch, self.width, -1)


def packing(lengths: Tensor, width: int, symbols: int | None) -> Packing | None:
    """Return where symbols stand; None where nobody has counted them.

    Args:
        lengths: [batch] of int64.
        width: of the padded batch.
        symbols: sum of the lengths, as the host knows it.
    """
    if symbols is None:
        return None
    real = torch.arange(width, device=lengths.device) < lengths[:, None]  # [batch, width]
    places = torch.nonzero_static(real.flatten(), size=symbols).squeeze(1)
    return Packing(places, functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32), width)


def packs(device: torch.device, head_dim: int, attention_dropout: float) -> bool:
    """Return whether attention can do without padding: on CUDA, in half precision, without dropout of its weights.

    Args:
        device: where a forward pass of training runs, in autocast's context.
        head_dim: width of a head.
        attention_dropout: on the attention weights; the kernel has none.
    """
    if device.type != "cuda" or attention_dropout > 0.0 or not _OPTIONS:
        return False
    half = torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda") in _HALVES
    return half and head_dim <= _WIDEST_HEAD and head_dim % _HEAD_STEP == 0 and _is_new_enough(device)


def attend_packed(query: Tensor, keys: Tensor, values: Tensor, of: Packing, to: Packing, *, causal: bool) -> Tensor:
    """Return the values as the queries of the same item weigh them.

    Args:
        query: [symbols, heads, head dim].
        keys: [symbols looked at, heads, head dim].
        values: [symbols looked at, heads, head dim].
        of: where the queries stand.
        to: where keys and values stand.
        causal: whether a query sees the keys up to its own position only.

    Returns:
        [symbols, heads, head dim]
    """
    how = {"window_size": (-1, 0 if causal else -1)} if "window_size" in _OPTIONS else {"is_causal": causal}
    found = varlen_attn(query, keys, values, of.offsets, to.offsets, of.width, to.width, **how, **_FURTHER)
    assert isinstance(found, Tensor)
    return found


@cache
def _is_new_enough(device: torch.device) -> bool:
    return torch.cuda.is_available() and torch.cuda.get_device_capability(device) >= _OLDEST
