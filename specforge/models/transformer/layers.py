"""The decoder layer of a transformer; what its encoder is made of stands in `specforge.modules.transformer`."""

from __future__ import annotations

from torch import Tensor, nn

from specforge.modules.attention import CrossAttention, SelfAttention
from specforge.modules.decoding_layer import DecodingLayer, PrefixAttention
from specforge.modules.packing import Packing
from specforge.modules.source_attention import SourceAttention
from specforge.modules.transformer import FeedForward, LayerSettings, residual


class DecoderLayer(nn.Module):
    """Self-attention to what stands before, attention to the source, then a feed-forward network.

    Args:
        config: sizes and regularisation.
    """

    def __init__(self, config: LayerSettings) -> None:
        super().__init__()
        self.self_attention = SelfAttention(config.embed_dim, config.attention_heads, config.attention_dropout)
        self.self_attention_residual = residual(config)
        self.cross_attention = CrossAttention(config.embed_dim, config.attention_heads, config.attention_dropout)
        self.cross_attention_residual = residual(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_residual = residual(config)

    def forward(
        self, values: Tensor, memory: Tensor, mask: Tensor | None, packings: tuple[Packing, Packing] | None = None
    ) -> Tensor:
        """Return the layer's output.

        Args:
            values: [batch, target length, dim]; with packings [target symbols, dim].
            memory: [batch, source length, dim]; with packings [source symbols, dim].
            mask: [batch, 1, 1, source length] of bool, True where there is a symbol; None for everywhere.
            packings: where the symbols of target and source stand; no mask is needed then.

        Returns:
            Shaped as the values.
        """
        itself, source = self.self_attention, self.cross_attention
        packing = None if packings is None else packings[0]
        # No mask on the target: its padding stands after all that counts.
        values = self.self_attention_residual(values, lambda inner: itself(inner, causal=True, packing=packing))
        values = self.cross_attention_residual(values, lambda inner: source(inner, memory, mask, packings))
        output: Tensor = self.feed_forward_residual(values, self.feed_forward)
        return output

    def decoding(self, number: int, cache: PrefixAttention, source: SourceAttention) -> DecodingLayer:
        """Return what computes the layer for a batch, symbol by symbol.

        Args:
            number: of this layer in the cache.
            cache: of self-attention.
            source: this layer's attention to the sources.
        """
        around = (self.self_attention_residual, self.cross_attention_residual, self.feed_forward_residual)
        return DecodingLayer(number, cache, self.self_attention, self.feed_forward, around, source)
