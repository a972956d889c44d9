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
        source: for each layer the keys and values of the source, [sentences, heads, source length, head dim] each.
        bias: [sentences, 1, 1, source length], -inf where there is no symbol, else 0; None where all sources are equally
            long.
    """

    cache: KeyValueCache
    source: list[tuple[Tensor, Tensor]]
    bias: Tensor | None

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        """Reorder and drop, in place; see the base class."""
        self.cache.select(rows)
        if sentences is not None:
            self.source = [(keys[sentences], values[sentences]) for keys, values in self.source]
            self.bias = None if self.bias is None else self.bias[sentences]
