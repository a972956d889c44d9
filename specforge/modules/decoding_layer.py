"""A layer of a transformer as decoding calls it: symbol by symbol, with its parts looked up once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from specforge.modules.attention import SelfAttention, attend_few
from specforge.modules.key_value_cache import KeyValueCache
from specforge.modules.packed_linear import activated, onto
from specforge.modules.places import Places
from specforge.modules.source_attention import SourceAttention
from specforge.modules.transformer import FeedForward, Residual


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
        cache: KeyValueCache,
        attention: SelfAttention,
        feed_forward: FeedForward,
        residuals: Sequence[Residual],
        source: SourceAttention | None = None,
    ) -> None:
        self._source = source
        self._number = number
        self._cache = cache
        self._heads = attention.heads
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
            bias: [rows x heads, 1, positions so far, this one included], -inf where a row has no symbol; None for what the cache
                itself says.

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
        projected = self._query_key_value(values)
        if self._bias is None and self._cache.has_loops:
            return onto(self._output, self._cache.attend(self._number, projected), sums)
        return onto(self._output, self._attend_by_products(projected), sums)

    def _attend_by_products(self, projected: Tensor) -> Tensor:
        """Return what queries find, [rows, dim], of queries, keys and values [rows, 3 x dim]."""
        cache = self._cache
        by_row = projected.view(-1, cache.distinct, 3, self._heads, projected.shape[1] // (3 * self._heads))
        by_head = by_row.permute(2, 0, 3, 1, 4)  # [3, sentences, heads, prefixes, head dim]
        keys, mixed = cache.append(self._number, by_head[1:])
        found, _ = attend_few(by_head[0], keys, mixed, cache.bias if self._bias is None else self._bias)
        return found.transpose(1, 2).reshape(len(projected), -1)

    def _look(self, values: Tensor, sums: Tensor) -> Tensor:
        """Add attention to the source."""
        assert self._source is not None
        return self._source.step(values, sums)

    def _feed(self, values: Tensor, sums: Tensor) -> Tensor:
        """Add the network's output."""
        return onto(self._outer, activated(self._inner, values, self._activation), sums)
