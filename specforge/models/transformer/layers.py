"""The decoder layer of a transformer; what its encoder is made of stands in `specforge.modules.transformer`."""

from __future__ import annotations

from torch import Tensor, nn

from specforge.models.transformer.state import TransformerState
from specforge.modules.attention import CrossAttention, SelfAttention
from specforge.modules.packing import Packing
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

    def step(self, values: Tensor, state: TransformerState, layer: int) -> Tensor:
        """Return the layer's output for one more position.

        Args:
            values: [rows, dim].
            state: of all layers; this position's keys and values are added.
            layer: number of this layer.

        Returns:
            [rows, dim]
        """

        def source(inner: Tensor, sums: Tensor) -> Tensor:
            found, state.weights = state.source[layer].step(inner, sums)
            return found

        itself = self.self_attention
        values = self.self_attention_residual.step(
            values, lambda inner, sums: itself.step(inner, sums, state.cache, layer)
        )
        values = self.cross_attention_residual.step(values, source)
        return self.feed_forward_residual.step(values, self.feed_forward.step)
