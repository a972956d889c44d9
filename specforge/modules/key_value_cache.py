"""Keys and values of the symbols decoded so far."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_FIRST_CAPACITY: Final = 32


class KeyValueCache:
    """The keys and values of all layers in one tensor, with room for more symbols and a second tensor to reorder into.

    Reordering for beam search moves every cached number at every step. New memory for that is the dear part on a CPU
    (page faults: 40 ms where the copy takes 4), so two tensors take turns, and only the used length is copied.

    Args:
        layers: number of layers.
        rows: number of prefixes.
        heads: heads of each layer.
        head_dim: width of a head.
        like: a tensor of the type and on the device that keys and values have.
    """

    def __init__(self, layers: int, rows: int, heads: int, head_dim: int, like: Tensor) -> None:
        self.length = 0
        self._rows = rows
        self._current = like.new_empty(layers, 2, rows, heads, _FIRST_CAPACITY, head_dim)
        self._spare: Tensor | None = None

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store one more position of a layer.

        Args:
            layer: number of the layer.
            key: [rows, heads, head dim].
            value: [rows, heads, head dim].

        Returns:
            Keys and values [rows, heads, length + 1, head dim] of all positions so far: views, valid until the next call.
        """
        if self.length == self._current.shape[-2]:
            self._grow()
        keys, values = self._current[layer, :, : self._rows].unbind(0)  # [rows, heads, capacity, head dim]
        keys[:, :, self.length] = key
        values[:, :, self.length] = value
        stop = self.length + 1
        return keys[:, :, :stop], values[:, :, :stop]

    def advance(self) -> None:
        """Note that all layers have stored their position."""
        self.length += 1

    def select(self, rows: Tensor) -> None:
        """Let new row i continue old row `rows[i]`."""
        if self._spare is None or self._spare.shape[2] < len(rows):
            layers, both, room, *sizes = self._current.shape
            self._spare = self._current.new_empty(layers, both, max(room, len(rows)), *sizes)
        old = self._current[:, :, : self._rows, :, : self.length]
        new = self._spare[:, :, : len(rows), :, : self.length]
        torch.index_select(old, 2, rows, out=new)
        self._current, self._spare = self._spare, self._current
        self._rows = len(rows)

    def _grow(self) -> None:
        """Double the room."""
        *sizes, capacity, head_dim = self._current.shape
        grown = self._current.new_empty(*sizes, 2 * capacity, head_dim)
        grown[..., :capacity, :] = self._current
        self._current, self._spare = grown, None
