"""Keys and values of the symbols decoded so far."""

from __future__ import annotations

from math import inf
from typing import Final

import torch
from torch import Tensor

_FIRST_CAPACITY: Final = 32


class KeyValueCache:
    """The keys and values of all layers in one tensor, with room for more symbols and a second tensor to move them to.

    The prefixes of a sentence share its keys and values: each step adds those of all its prefixes, and a prefix sees of each
    step the one that it continues (`bias`). So beam search reorders a small table, where moving every cached number at every
    step is the dear part on a CPU. Numbers are moved only where sentences are dropped, and between two tensors that take
    turns, since new memory costs ten times the copy (page faults: 40 ms against 4).

    Args:
        layers: number of layers.
        rows: number of prefixes.
        heads: heads of each layer.
        head_dim: width of a head.
        like: a tensor of the type and on the device that keys and values have.
        beam: prefixes of each sentence.
    """

    def __init__(self, layers: int, rows: int, heads: int, head_dim: int, like: Tensor, beam: int = 1) -> None:
        self.length = 0
        self._beam = beam
        self._sentences = rows // beam
        self._current = like.new_empty(layers, 2, self._sentences, heads, _FIRST_CAPACITY * beam, head_dim)
        self._spare: Tensor | None = None
        self._seen: Tensor | None = None
        if beam > 1:
            self._seen = like.new_full((self._sentences, beam, _FIRST_CAPACITY * beam), -inf)
            self._itself = like.new_full((beam, beam), -inf).fill_diagonal_(0.0)

    @property
    def beam(self) -> int:
        """Prefixes of each sentence."""
        return self._beam

    @property
    def bias(self) -> Tensor | None:
        """What to add to the weights of the keys that `append` returned, [sentences, 1, beam, keys]; None for nothing."""
        return None if self._seen is None else self._seen[:, None, :, : (self.length + 1) * self._beam]

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store one more position of a layer; layer 0 comes first.

        Args:
            layer: number of the layer.
            key: [rows, heads, head dim].
            value: [rows, heads, head dim].

        Returns:
            Keys and values [sentences, heads, (length + 1) x beam, head dim] of all positions so far, those of all prefixes of
            a sentence: views, valid until the next call.
        """
        start, stop = self.length * self._beam, (self.length + 1) * self._beam
        if layer == 0:
            if stop > self._current.shape[-2]:
                self._grow()
            if self._seen is not None:
                self._seen[:, :, start:stop] = self._itself
        keys, values = self._current[layer, :, : self._sentences].unbind(0)  # [sentences, heads, capacity, head dim]
        if self._beam == 1:
            keys[:, :, start] = key
            values[:, :, start] = value
        else:
            keys[:, :, start:stop] = key.unflatten(0, (-1, self._beam)).transpose(1, 2)
            values[:, :, start:stop] = value.unflatten(0, (-1, self._beam)).transpose(1, 2)
        return keys[:, :, :stop], values[:, :, :stop]

    def fill(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Store several positions of a layer, the same for all prefixes of a sentence; for caches with one prefix each.

        Args:
            layer: number of the layer.
            keys: [sentences, heads, positions, head dim].
            values: [sentences, heads, positions, head dim].
        """
        stop = self.length + keys.shape[2]
        while stop > self._current.shape[-2]:
            self._grow()
        copies = self._sentences // len(keys)
        for stored, new in zip(self._current[layer, :, : self._sentences].unbind(0), (keys, values), strict=True):
            stored[:, :, self.length : stop] = new.repeat_interleave(copies, dim=0)

    def advance(self, positions: int = 1) -> None:
        """Note that all layers have stored their position, or several."""
        self.length += positions

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        """Let new row i continue old row `rows[i]`.

        Args:
            rows: [new rows] of int64; prefixes of one sentence continue prefixes of one sentence.
            sentences: [new sentences] the old sentence of each new one; None when all go on in their order.
        """
        if self._seen is not None:
            self._seen = self._seen.flatten(0, 1)[rows].unflatten(0, (-1, self._beam))
        elif sentences is None:
            sentences = rows
        if sentences is not None:
            self._move(sentences)

    def _move(self, sentences: Tensor) -> None:
        """Keep some sentences."""
        if self._spare is None or self._spare.shape[2] < len(sentences):
            layers, both, room, *sizes = self._current.shape
            self._spare = self._current.new_empty(layers, both, max(room, len(sentences)), *sizes)
        used = self.length * self._beam
        old = self._current[:, :, : self._sentences, :, :used]
        new = self._spare[:, :, : len(sentences), :, :used]
        torch.index_select(old, 2, sentences, out=new)
        self._current, self._spare = self._spare, self._current
        self._sentences = len(sentences)

    def _grow(self) -> None:
        """Double the room."""
        *sizes, capacity, head_dim = self._current.shape
        grown = self._current.new_empty(*sizes, 2 * capacity, head_dim)
        grown[..., :capacity, :] = self._current
        self._current, self._spare = grown, None
        if self._seen is not None:
            self._seen = torch.cat((self._seen, torch.full_like(self._seen, -inf)), dim=-1)
