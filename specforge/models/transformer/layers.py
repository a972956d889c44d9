"""The layers of a transformer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from torch import Tensor, nn
from torch.nn import functional

from specforge.models.transformer.config import TransformerConfig
from specforge.modules.attention import CrossAttention, SelfAttention
from specforge.modules.dropout import Dropout
from specforge.modules.key_value_cache import KeyValueCache

_ACTIVATIONS: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
}


class Residual(nn.Module):
    """What goes around a sublayer: dropout on its output, the sum with its input, and layer norm after or before.

    Args:
        dim: width.
        dropout: on the sublayer's output.
        norm: `post`: norm(x + sublayer(x)), Vaswani et al. 2017; `pre`: x + sublayer(norm(x)).
    """

    def __init__(self, dim: int, dropout: float, norm: Literal["post", "pre"]) -> None:
        super().__init__()
        self._before = norm == "pre"
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def forward(self, values: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the sublayer's output [..., dim] for values [..., dim], with all that goes around it."""
        if self._before:
            added: Tensor = values + self.dropout(sublayer(self.norm(values)))
            return added
        normed: Tensor = self.norm(values + self.dropout(sublayer(values)))
        return normed


class FeedForward(nn.Module):
    """Two linear layers with a non-linearity between them, at every position.

    Args:
        config: widths, non-linearity and dropout.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(config.embed_dim, config.ffn_dim)
        self.outer = nn.Linear(config.ffn_dim, config.embed_dim)
        self.dropout = Dropout(config.activation_dropout)
        self._activation = _ACTIVATIONS[config.activation]

    def forward(self, values: Tensor) -> Tensor:
        """Return [..., dim] for values [..., dim]."""
        output: Tensor = self.outer(self.dropout(self._activation(self.inner(values))))
        return output


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network.

    Args:
        config: sizes and regularisation.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = SelfAttention(config.embed_dim, config.attention_heads, config.attention_dropout)
        self.self_attention_residual = _residual(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_residual = _residual(config)

    def forward(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """Return the layer's output.

        Args:
            values: [batch, source length, dim].
            mask: [batch, 1, 1, source length] of bool, True where there is a symbol; None for everywhere.

        Returns:
            [batch, source length, dim]
        """
        values = self.self_attention_residual(values, lambda inner: self.self_attention(inner, mask))
        output: Tensor = self.feed_forward_residual(values, self.feed_forward)
        return output


class DecoderLayer(nn.Module):
    """Self-attention to what stands before, attention to the source, then a feed-forward network.

    Args:
        config: sizes and regularisation.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = SelfAttention(config.embed_dim, config.attention_heads, config.attention_dropout)
        self.self_attention_residual = _residual(config)
        self.cross_attention = CrossAttention(config.embed_dim, config.attention_heads, config.attention_dropout)
        self.cross_attention_residual = _residual(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_residual = _residual(config)

    def forward(self, values: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
        """Return the layer's output.

        Args:
            values: [batch, target length, dim].
            memory: [batch, source length, dim].
            mask: [batch, 1, 1, source length] of bool, True where there is a symbol; None for everywhere.

        Returns:
            [batch, target length, dim]
        """
        # No mask on the target: its padding stands after all that counts.
        values = self.self_attention_residual(values, lambda inner: self.self_attention(inner, causal=True))
        values = self.cross_attention_residual(values, lambda inner: self.cross_attention(inner, memory, mask))
        output: Tensor = self.feed_forward_residual(values, self.feed_forward)
        return output

    def step(
        self, values: Tensor, cache: KeyValueCache, layer: int, source: tuple[Tensor, Tensor], bias: Tensor | None
    ) -> Tensor:
        """Return the layer's output [rows, dim] for one more position [rows, dim].

        Args:
            values: [rows, dim].
            cache: of self-attention; this position's keys and values are added.
            layer: number of this layer in the cache.
            source: keys and values of the source, [sentences, heads, source length, head dim] each.
            bias: [sentences, 1, 1, source length], -inf where there is no source symbol; None where there is no such place.
        """
        values = self.self_attention_residual(values, lambda inner: self.self_attention.step(inner, cache, layer))
        values = self.cross_attention_residual(values, lambda inner: self.cross_attention.step(inner, source, bias))
        output: Tensor = self.feed_forward_residual(values, self.feed_forward)
        return output


def _residual(config: TransformerConfig) -> Residual:
    return Residual(config.embed_dim, config.dropout, config.norm)
