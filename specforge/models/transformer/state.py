"""What a transformer's decoder keeps between two steps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from specforge.models.model import DecodingState
from specforge.modules.key_value_cache import KeyValueCache


@dataclass(slots=True)
class TransformerState(DecodingState):
    """The source once per sentence, the symbols so far once per prefix.

    Args:
        cache: keys and values of the prefixes.
        source: for each layer the keys and values of the source, [sentences x heads, source length, head dim] each.
        sentences: how many are being decoded.
        bias: [sentences, 1, 1, source length], -inf where there is no symbol, else 0; None where all sources are equally
            long.
        keeps_attention: whether somebody asks for `attention`.
        weights: [sentences, heads, prefixes, source length] of the last step's last layer; one prefix where all were alike.
    """

    cache: KeyValueCache
    source: list[tuple[Tensor, Tensor]]
    sentences: int
    bias: Tensor | None
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
            by_sentence = (self.sentences, -1)
            self.source = [
                (
                    keys.unflatten(0, by_sentence)[sentences].flatten(0, 1),
                    values.unflatten(0, by_sentence)[sentences].flatten(0, 1),
                )
                for keys, values in self.source
            ]
            self.sentences = len(sentences)
            self.bias = None if self.bias is None else self.bias[sentences]
