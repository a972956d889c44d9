"""What a transformer's decoder keeps between two steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from specforge.models.model import DecodingState
from specforge.modules.key_value_cache import KeyValueCache
from specforge.modules.places import Places
from specforge.modules.source_attention import SourceAttention


@dataclass(slots=True)
class TransformerState(DecodingState):
    """The source once per sentence, the symbols so far once per prefix.

    Args:
        cache: keys and values of the prefixes.
        source: the attention of each layer to the sources.
        sentences: how many are being decoded.
        keeps_attention: whether somebody asks for `attention`.
        weights: [sentences, heads, prefixes, source length] of the last step's last layer; one prefix where all were alike.
    """

    cache: KeyValueCache
    source: Sequence[SourceAttention]
    sentences: int
    keeps_attention: bool = False
    weights: Tensor | None = None

    @property
    def attention(self) -> Tensor | None:
        """The mean over the heads of the last layer, [rows, source length]; see the base class."""
        if not self.keeps_attention or self.weights is None:
            return None
        by_prefix = self.weights.float().mean(dim=1)  # [sentences, prefixes, source length]
        return by_prefix.expand(-1, self.cache.beam, -1).flatten(0, 1)

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        """Reorder and drop, in place; see the base class."""
        self.cache.select(rows, sentences)
        self.weights = None
        if sentences is not None:
            places = Places(sentences, self.sentences)
            self.source = [attention.select(places) for attention in self.source]
            self.sentences = len(sentences)
