"""What a decoder-only transformer keeps between two steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from specforge.models.model import DecodingState
from specforge.modules.decoding_layer import DecodingLayer
from specforge.modules.key_value_cache import KeyValueCache


@dataclass(slots=True)
class TransformerLMState(DecodingState):
    """The symbols so far, once per text.

    Texts of different lengths stand beside each other in the cache as they were given, padded on the right. What is appended
    stands behind the longest for all; a shorter one has places between that hold nothing. Attention does not see them,
    and positions are counted for each text by itself.

    Args:
        cache: keys and values of the texts.
        layers: of the model.
        positions: [rows] of int64: where the next symbol of each text stands.
        bias: [rows, longest] of what was given, -inf where there is no symbol, else 0; None where all were equally long.
    """

    cache: KeyValueCache
    layers: Sequence[DecodingLayer]
    positions: Tensor
    bias: Tensor | None

    @classmethod
    def begun(
        cls,
        cache: KeyValueCache,
        layers: Sequence[DecodingLayer],
        lengths: Tensor,
        longest: int,
        beam: int,
        like: Tensor,
    ) -> TransformerLMState:
        """Return the state for texts that are to be taken in.

        Args:
            cache: empty.
            layers: of the model, which store there.
            lengths: [sentences] of int64.
            longest: the largest of them.
            beam: continuations of each.
            like: a tensor of the type that attention weights have.
        """
        positions = lengths.repeat_interleave(beam)
        nothing = torch.arange(longest, device=lengths.device) >= positions[:, None]  # [rows, longest]
        bias = torch.zeros_like(nothing, dtype=like.dtype).masked_fill_(nothing, -torch.inf)
        # a GPU would have to be waited for before it could be told that there are no such places
        return cls(cache, layers, positions, bias if longest and (bias.is_cuda or bool(nothing.any())) else None)

    def seen(self) -> Tensor | None:
        """Return the bias [rows x heads, 1, length] up to and with the symbol that is being appended."""
        if self.bias is None:
            return None
        whole = functional.pad(self.bias, (0, self.cache.length + 1 - self.bias.shape[1]))
        return whole.repeat_interleave(self.cache.heads, dim=0)[:, None]

    def advance(self) -> None:
        """Note that a symbol was appended to each text."""
        self.cache.advance()
        self.positions = self.positions + 1

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        """Reorder and drop, in place; see the base class."""
        del sentences  # nothing is kept once per sentence
        self.cache.select(rows)
        self.positions = self.positions[rows]
        self.bias = None if self.bias is None else self.bias[rows]
