"""A layer of a transformer as decoding calls it: symbol by symbol, with its parts looked up once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from specforge.modules.attention import SelfAttention
from specforge.modules.packed_linear import activated, onto
from specforge.modules.places import Places
from specforge.modules.source_attention import SourceAttention
from specforge.modules.transformer import FeedForward, Residual


class PrefixAttention(Protocol):
    """What holds the keys and values of all layers, and attends to them."""

    def attend(self, layer: int, projected: Tensor, bias: Tensor | None = None) -> Tensor:
        """Store one more position of a layer, and attend to it and all before; layer 0 comes first.

        Args:
            layer: number of the layer.
            projected: [rows, 3 x dim] queries, keys and values.
            bias: [rows x heads, 1, positions so far, this one included], -inf where a row has no symbol; None where each has
                all that its prefix has.

        Returns:
            [rows, dim] what the queries find.
        """


class DecodingLayer:
    """Self-attention to what stands before, attention to the source if there is one, then a feed-forward network.

    Looking up modules and calling them is a part of the time of a single row (7 %), so it is done once, for a batch. Weights must
    stay as they are while it is decoded.

    Args:
        number: of the layer in the cache, from 0.
        cache: keys and values of all layers.
        attention: to what stands before.
        feed_forward: the network.
        residuals: what goes around attention, the attention to the source if there is one, and the network.
        source: attention to the source; None in a decoder-only model.
    """

    def __init__(
        self,
        number: int,
        cache: PrefixAttention,
        attention: SelfAttention,
        feed_forward: FeedForward,
        residuals: Sequence[Residual],
        source: SourceAttention | None = None,
    ) -> None:
        self._source = source
        self._number = number
        self._cache = cache
        self._query_key_value: Callable[[Tensor], Tensor] = attention.query_key_value.forward
        self._output = attention.output
        self._inner, self._outer = feed_forward.inner, feed_forward.outer
        self._activation = feed_forward.activation
        self._bias: Tensor | None = None
        # Functions and not methods: a layer that held itself would hold its cache until garbage is collected.
        around_source = [] if source is None else [DecodingLayer._look]
        sublayers = [DecodingLayer._attend, *around_source, DecodingLayer._feed]
        self._norm_before = residuals[0].before
        norms = [(each.norm.normalized_shape, each.norm.weight, each.norm.bias, each.norm.eps) for each in residuals]
        self._sublayers = list(zip(norms, sublayers, strict=True))

    def step(self, values: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the layer's output for one more position.

        Args:
            values: [rows, dim], one for each prefix that the cache holds to be distinct.
            bias: as `PrefixAttention.attend`.

        Returns:
            [rows, dim]
        """
        self._bias = bias
        for norm, sublayer in self._sublayers:
            if self._norm_before:
                values = sublayer(self, torch.layer_norm(values, *norm), values)
            else:
                values = torch.layer_norm(sublayer(self, values, values), *norm)
        return values

    @property
    def weights(self) -> Tensor | None:
        """[sentences, heads, prefixes, source length] how the last step weighed source symbols; None where none did.

        There is one prefix where all were alike.
        """
        return None if self._source is None else self._source.weights

    def go_on(self, places: Places | None) -> None:
        """Take in that other prefixes follow; `places`: those of the sentences that go on, None for all as they are."""
        if self._source is None:
            return
        self._source.weights = None
        if places is not None:
            self._source = self._source.select(places)

    def _attend(self, values: Tensor, sums: Tensor) -> Tensor:
        """Add attention to the positions so far, and store this one's keys and values."""
        found = self._cache.attend(self._number, self._query_key_value(values), self._bias)
        return onto(self._output, found, sums)

    def _look(self, values: Tensor, sums: Tensor) -> Tensor:
        """Add attention to the source."""
        assert self._source is not None
        return self._source.step(values, sums)

    def _feed(self, values: Tensor, sums: Tensor) -> Tensor:
        """Add the network's output."""
        return onto(self._outer, activated(self._inner, values, self._activation), sums)
