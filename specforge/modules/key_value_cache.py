"""Keys and values of the symbols decoded so far."""

from __future__ import annotations

from math import inf
from typing import Final

import torch
from torch import Tensor

from specforge.modules.attention_loops import Floats, loops_for
from specforge.modules.few_queries import attend_few, split_few
from specforge.modules.places import Places
from specforge.modules.reused_memory import ReusedMemory

_FIRST_CAPACITY: Final = 16

_MEMORY: Final = ReusedMemory()
"""Of all caches: a batch takes that of the one before."""


class KeyValueCache:
    """The keys and values of all layers in one tensor, with room for more symbols.

    The prefixes of a sentence share its keys and values: each step adds those of all its prefixes, and a table says which of
    them a prefix sees of each step, that of the one it continues. So beam search reorders a small table, where moving every
    cached number at every step is the dear part on a CPU. Numbers are moved only where sentences are dropped: few where the
    last take the places of those that are gone, else all of them, to memory that was used before, since fresh memory costs ten
    times the copy (40 ms against 4). A cache that is gone leaves its memory to the next.

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
        self._current = _MEMORY.empty((layers, 2, self._sentences, heads, _FIRST_CAPACITY * beam, head_dim), like)
        self._loops = loops_for(like)
        self._arrays: list[tuple[Floats, Floats]] = []  # keys and values of each layer, for loops
        self._places: tuple[Tensor, ...] = ()  # of each layer, where the position being decoded goes
        self._stored: tuple[Tensor, ...] = ()  # keys and values of layer 0, of layer 1, …, up to this position
        self._bias: Tensor | None = None
        # Which key of its sentence each prefix sees at each position, [sentences, beam, capacity]; one prefix sees them all.
        self._slots = self._own(0, _FIRST_CAPACITY).repeat(1 if beam == 1 else self._sentences, 1, 1)

    def __del__(self) -> None:
        """Leave the memory to others."""
        if hasattr(self, "_current"):
            _MEMORY.give_back(self._current)

    @property
    def beam(self) -> int:
        """Prefixes of each sentence."""
        return self._beam

    @property
    def heads(self) -> int:
        """Heads of each layer."""
        return self._current.shape[3]

    @property
    def distinct(self) -> int:
        """Prefixes of each sentence that can differ at the next position: at the first there is one, the empty one."""
        return self._beam if self.length else 1

    def attend(self, layer: int, projected: Tensor, bias: Tensor | None = None) -> Tensor:
        """Store one more position of a layer, and attend to it and all before; layer 0 comes first.

        Args:
            layer: number of the layer.
            projected: [sentences x `distinct`, 3 x dim] queries, keys and values.
            bias: for caches with one prefix of each sentence: [sentences x heads, 1, length + 1], -inf where a sentence has no
                symbol.

        Returns:
            [sentences x `distinct`, dim] what the queries find.
        """
        if layer == 0:
            self._open()
        if self._loops is None or bias is not None:
            return self._attend_by_products(layer, projected, bias)
        if not self._arrays:
            self._arrays = [(keys.numpy(), values.numpy()) for keys, values in self._current]
        if projected.dtype != self._current.dtype:  # autocast
            projected = projected.to(self._current.dtype)
        found = projected.new_empty(len(projected), projected.shape[1] // 3)
        self._loops.to_prefix(
            projected.numpy(), self._slots.numpy(), self._sentences, self.length, *self._arrays[layer], found.numpy()
        )
        return found

    def fill(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Store several positions of a layer, the same for all prefixes of a sentence; for caches with one prefix each.

        Args:
            layer: number of the layer.
            keys: [sentences, heads, positions, head dim].
            values: [sentences, heads, positions, head dim].
        """
        stop = self.length + keys.shape[2]
        if stop > self._current.shape[-2]:
            self._grow(stop)
        copies = self._sentences // len(keys)
        for stored, new in zip(self._current[layer, :, : self._sentences].unbind(0), (keys, values), strict=True):
            stored[:, :, self.length : stop] = new.repeat_interleave(copies, dim=0)

    def advance(self, positions: int = 1) -> None:
        """Note that all layers have stored their position, or several."""
        self.length += positions

    def select(self, rows: Tensor, places: Places | None = None) -> None:
        """Let new row i continue old row `rows[i]`.

        Args:
            rows: [new rows] of int64; prefixes of one sentence continue prefixes of one sentence.
            places: of the sentences that go on; None when all do in their order.
        """
        if self._beam > 1:
            self._slots = self._slots.flatten(0, 1)[rows].unflatten(0, (-1, self._beam))
        elif places is None:
            places = Places(rows, self._sentences)
        if places is not None:
            self._move(places)

    def _own(self, start: int, stop: int) -> Tensor:
        """Return the key that each prefix adds at some positions, [beam, positions]."""
        keys = torch.arange(start * self._beam, stop * self._beam, device=self._current.device)
        return keys.view(-1, self._beam).t()

    def _open(self) -> None:
        """Make room for one more position."""
        if (self.length + 1) * self._beam > self._current.shape[-2]:
            self._grow((self.length + 1) * self._beam)
        if self._beam > 1:  # else they never change
            self._slots[:, :, self.length : self.length + 1] = self._own(self.length, self.length + 1)

    def _attend_by_products(self, layer: int, projected: Tensor, bias: Tensor | None) -> Tensor:
        """Do what `attend` does."""
        if layer == 0:
            self._view()
        queries, new = split_few(projected, self._sentences, self.heads)
        self._places[layer].copy_(new)
        keys, values = self._stored[2 * layer], self._stored[2 * layer + 1]
        found, _ = attend_few(queries, keys, values, self._bias if bias is None else bias)
        return found.transpose(1, 2).reshape(len(projected), -1)

    def _view(self) -> None:
        """Make the views of all layers at once: a view costs as much as a small product."""
        start, stop = self.length * self._beam, (self.length + 1) * self._beam
        if self._beam > 1:
            unseen = self._current.new_full((self._sentences, self.distinct, stop), -inf)
            seen = unseen.scatter_(2, self._slots[:, : self.distinct, : self.length + 1], 0.0)
            self._bias = seen.repeat_interleave(self.heads, dim=0)  # [sentences x heads, distinct, keys]
        self._places = self._current[:, :, : self._sentences, :, start:stop].unbind(0)
        by_head = self._current.flatten(2, 3)  # [layers, 2, room for sentences x heads, capacity, head dim]
        self._stored = by_head[:, :, : self._sentences * self.heads, :stop].flatten(0, 1).unbind(0)

    def _move(self, places: Places) -> None:
        """Keep some sentences."""
        used = self.length * self._beam
        old = self._current[:, :, : self._sentences, :, :used]
        sentences = places.sentences
        if places.in_place:
            places.move(old, dim=2)
        else:
            layers, both, _, *sizes = self._current.shape
            moved = _MEMORY.empty((layers, both, len(sentences), *sizes), self._current)
            torch.index_select(old, 2, sentences, out=moved[..., :used, :])
            self._replace(moved)
        self._sentences = len(sentences)

    def _grow(self, least: int) -> None:
        """Make room for half as many symbols again or more, for the sentences that there still are.

        Args:
            least: keys of a sentence that there must be room for.
        """
        current = self._current[:, :, : self._sentences]
        *sizes, capacity, head_dim = current.shape
        more = max(capacity // self._beam // 2 * self._beam, least - capacity)
        grown = _MEMORY.empty((*sizes, capacity + more, head_dim), current)
        grown[..., :capacity, :] = current
        self._replace(grown)
        own = self._own(capacity // self._beam, (capacity + more) // self._beam)
        self._slots = torch.cat((self._slots, own.expand(len(self._slots), -1, -1)), dim=2)

    def _replace(self, moved: Tensor) -> None:
        """Go on with what was moved elsewhere."""
        gone, self._current, self._arrays = self._current, moved, []
        _MEMORY.give_back(gone)
