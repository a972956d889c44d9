"""Decoding whose steps are recorded once for each size and then replayed, for devices that would wait for Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Final
from weakref import ref

import torch
from torch import Tensor

from specforge.models.model import DecodingState
from specforge.models.transformer.layers import DecoderLayer
from specforge.modules.attention import split_heads
from specforge.modules.few_queries import attend_few, split_few
from specforge.modules.places import Places
from specforge.modules.recorder import Recorder
from specforge.modules.source_attention import ProjectedSource

_LEAST: Final = 16
"""Positions that there is room for at least, of sources and of outputs."""

_MOST: Final = 100
"""Recordings that are kept: each holds memory of the device."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a recording is made for.

    Args:
        sentences: that there is room for.
        beam: prefixes of each.
        source: positions of sources.
        capacity: positions of outputs.
    """

    sentences: int
    beam: int
    source: int
    capacity: int


class RecordedDecoder:
    """The decoder of a transformer, its steps recorded.

    A recording computes where it once did, so all sizes share one piece of memory, and one batch is decoded at a time. Places
    that no sentence takes are computed along, and mean nothing.

    Args:
        layers: of the decoder, whose weights stay where they are.
        finish: from what the last layer returns [rows, dim] to logits [rows, vocabulary].
        vocabulary: its size.
        recorder: of the device.
    """

    def __init__(
        self, layers: Sequence[DecoderLayer], finish: Callable[[Tensor], Tensor], vocabulary: int, recorder: Recorder
    ) -> None:
        self.layers = layers
        self._finish = finish
        self._vocabulary = vocabulary
        self._recorder = recorder
        self._memory: dict[str, Tensor] = {}
        self._position = torch.zeros((), dtype=torch.int64, device=layers[0].self_attention.output.weight.device)
        self._recordings: dict[Size, Callable[[], None]] = {}
        self._state: Callable[[], RecordedState | None] = lambda: None

    def begin(self, memory: Tensor, bias: Tensor | None, beam: int) -> RecordedState | None:
        """Take in sources; None while another batch is being decoded.

        Args:
            memory: [sentences, source length, dim] the sources, encoded.
            bias: [sentences, 1, source length], -inf where there is no symbol; None where there are no such places.
            beam: prefixes of each.
        """
        if self._state() is not None:
            return None
        state = RecordedState(self, memory, bias, beam)
        self._state = ref(state)
        return state

    def room(self, size: Size, like: Tensor) -> Room:
        """Return the memory for a size; what stood in that of another may be gone.

        Args:
            size: how much.
            like: a tensor of the type that all have, [..., dim].
        """
        dim, heads = like.shape[-1], self.layers[0].self_attention.heads
        layers, head_dim, keys = len(self.layers), dim // heads, size.capacity * size.beam
        sizes = {
            "values": (size.sentences * size.beam, dim),
            "cache": (layers, 2, size.sentences, heads, keys, head_dim),
            "seen": (size.sentences, size.beam, keys),
            "sources": (layers, 2, size.sentences, heads, size.source, head_dim),
            "bias": (size.sentences, 1, size.source),
            "logits": (size.sentences * size.beam, self._vocabulary),
            "weights": (size.sentences, heads, size.beam, size.source),
        }
        for name, shape in sizes.items():
            had = self._memory[name].numel() if name in self._memory else 0
            if had < prod(shape):
                with torch.inference_mode(mode=False):  # who comes later may be outside of it
                    self._memory[name] = like.new_zeros(max(prod(shape), 2 * had))
                self._recordings.clear()  # they compute where it was
        views = {name: self._memory[name][: prod(shape)].view(shape) for name, shape in sizes.items()}
        return Room(size, position=self._position, **views)

    def compute(self, room: Room) -> None:
        """Compute a step of a room, for the first time by recording it."""
        if room.size not in self._recordings:
            if len(self._recordings) == _MOST:
                del self._recordings[next(iter(self._recordings))]  # the oldest
            self._recordings[room.size] = self._recorder.record(lambda: self._step(room))
        self._recordings[room.size]()

    def _step(self, room: Room) -> None:
        cache = _RecordedCache(room)
        values = room.values
        for number, layer in enumerate(self.layers):
            keys, mixed = room.sources[number]
            source = ProjectedSource(layer.cross_attention, keys, mixed, room.bias, in_loops=False)
            decoding = layer.decoding(number, cache, source)
            values = decoding.step(values)
        assert decoding.weights is not None
        room.weights.copy_(decoding.weights)
        room.logits.copy_(self._finish(values))


@dataclass(frozen=True, slots=True)
class Room:
    """Where the steps of a size compute.

    Args:
        size: the size.
        position: [] of int64, that of the step.
        values: [rows, dim] what the first layer takes.
        cache: [layers, 2, sentences, heads, capacity x beam, head dim] keys and values of the outputs.
        seen: [sentences, beam, capacity x beam] 0 where a prefix sees a key, else -inf.
        sources: [layers, 2, sentences, heads, source length, head dim] keys and values of the sources.
        bias: [sentences, 1, source length] -inf where a source has no symbol, else 0.
        logits: [rows, vocabulary] what the step finds.
        weights: [sentences, heads, beam, source length] how its last layer weighed source symbols.
    """

    size: Size
    position: Tensor
    values: Tensor
    cache: Tensor
    seen: Tensor
    sources: Tensor
    bias: Tensor
    logits: Tensor
    weights: Tensor

    def clear(self) -> None:
        """Leave no number that could spread: nothing, weighed by 0, must be nothing."""
        for tensor in (self.values, self.cache, self.sources, self.bias):
            tensor.zero_()
        self.seen.fill_(-inf)


class RecordedState(DecodingState):
    """A batch that is being decoded by recordings.

    Args:
        decoder: computes.
        memory: as `RecordedDecoder.begin`.
        bias: as `RecordedDecoder.begin`.
        beam: prefixes of each sentence.
    """

    def __init__(self, decoder: RecordedDecoder, memory: Tensor, bias: Tensor | None, beam: int) -> None:
        self.length = 0
        self.keeps_attention = False
        self._decoder = decoder
        self._sentences, self._source, _ = memory.shape
        size = Size(_rounded(self._sentences), beam, _rounded(self._source, _LEAST), _LEAST)
        self._room = room = decoder.room(size, memory)
        room.clear()
        for layer, stored in zip(decoder.layers, room.sources, strict=True):
            keys, values = split_heads(layer.cross_attention.key_value(memory), 2, layer.cross_attention.heads)
            stored[0, : self._sentences, :, : self._source] = keys
            stored[1, : self._sentences, :, : self._source] = values
        room.bias[: self._sentences, :, self._source :] = -inf
        if bias is not None:
            room.bias[: self._sentences, :, : self._source] = bias

    @property
    def attention(self) -> Tensor | None:
        """The mean over the heads of the last layer, [rows, source length]; see the base class."""
        if not self.keeps_attention or self.length == 0:
            return None
        weights = self._room.weights[: self._sentences, :, :, : self._source]
        return weights.float().mean(dim=1).flatten(0, 1)

    def step(self, values: Tensor) -> Tensor:
        """Return logits [rows, vocabulary] for one more symbol of each prefix, embedded [rows, dim]."""
        if self.length == self._room.size.capacity:
            self._change_room()
        room = self._room
        room.values[: len(values)] = values
        room.position.fill_(self.length)
        self._decoder.compute(room)
        self.length += 1
        return room.logits[: len(values)].clone()

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        """Reorder and drop, in place; see the base class."""
        room, before = self._room, self._sentences
        self._sentences = before if sentences is None else len(sentences)
        room.seen[: self._sentences] = room.seen[:before].flatten(0, 1)[rows].unflatten(0, (-1, room.size.beam))
        if sentences is None:
            return
        places = Places(sentences, before)
        for tensor, dim in ((room.cache, 2), (room.sources, 2), (room.bias, 0)):
            if places.in_place:
                places.move(tensor.narrow(dim, 0, before), dim)
            else:
                tensor.narrow(dim, 0, self._sentences).copy_(tensor.index_select(dim, sentences))
        if 2 * _rounded(self._sentences) <= room.size.sentences:
            self._change_room()

    def _change_room(self) -> None:
        """Go on where there is room for more positions, or for no more sentences than there are."""
        old, count = self._room, self._sentences
        used = self.length * old.size.beam
        cache, seen = old.cache[:, :, :count, :, :used].clone(), old.seen[:count, :, :used].clone()
        sources, bias = old.sources[:, :, :count].clone(), old.bias[:count].clone()
        size = Size(_rounded(count), old.size.beam, old.size.source, _rounded(self.length + 1, _LEAST))
        self._room = room = self._decoder.room(size, old.values)
        room.clear()
        room.cache[:, :, :count, :, :used] = cache
        room.seen[:count, :, :used] = seen
        room.sources[:, :, :count] = sources
        room.bias[:count] = bias


class _RecordedCache:
    """The keys and values of a step that is being recorded.

    Args:
        room: what it computes with.
    """

    def __init__(self, room: Room) -> None:
        size, device = room.size, room.cache.device
        self._cache = room.cache
        self._slots = room.position * size.beam + torch.arange(size.beam, device=device)
        own = room.seen.new_full((size.beam, size.beam), -inf).fill_diagonal_(0.0)  # each prefix sees its own key
        room.seen.index_copy_(2, self._slots, own.expand(size.sentences, -1, -1))
        heads = room.cache.shape[3]
        self._bias = room.seen[:, None].expand(-1, heads, -1, -1).flatten(0, 1)

    def attend(self, layer: int, projected: Tensor, bias: Tensor | None = None) -> Tensor:
        """Store one more position of a layer, and attend to it and all before; as `PrefixAttention.attend`."""
        assert bias is None
        cache = self._cache[layer]
        queries, new = split_few(projected, *cache.shape[1:3])
        cache.index_copy_(3, self._slots, new)
        keys, values = cache.flatten(1, 2)
        found, _ = attend_few(queries, keys, values, self._bias)
        return found.transpose(1, 2).reshape(len(projected), -1)


def _rounded(number: int, least: int = 1) -> int:
    """Return 1, 2, 3, 4, 6, 8, 12, 16, …: the first that is no smaller."""
    number = max(number, least)
    power = 1 << (number - 1).bit_length()
    between = power - power // 4
    return between if number <= between else power
