"""What a transformer's decoder keeps between two steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from specforge.models.model import DecodingState
from specforge.modules.decoding_layer import DecodingLayer
from specforge.modules.key_value_cache import KeyValueCache
from specforge.modules.places import Places


@dataclass(slots=True)
class TransformerState(DecodingState):
    """The source once per sentence, the symbols so far once per prefix.

    Args:
        cache: keys and values of the prefixes.
        layers: of the decoder, each with its attention to the sources.
        sentences: how many are being decoded.
        keeps_attention: whether somebody asks for `attention`.
    """

    cache: KeyValueCache
    layers: Sequence[DecodingLayer]
    sentences: int
    keeps_attention: bool = False

    @property
    def attention(self) -> Tensor | None:
        """The mean over the heads of the last layer, [rows, source length]; see the base class."""
        weights = self.layers[-1].weights if self.keeps_attention else None
        if weights is None:
            return None
        by_prefix = weights.float().mean(dim=1)  # [sentences, prefixes, source length]
        return by_prefix.expand(-1, self.cache.beam, -1).flatten(0, 1)

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        """Reorder and drop, in place; see the base class."""
        places = None if sentences is None else Places(sentences, self.sentences)
        self.cache.select(rows, places)
        for layer in self.layers:
            layer.go_on(places)
        if sentences is not None:
            self.sentences = len(sentences)
