"""What the transformers have in common: the embedder, and the layer of self-attention and a feed-forward network."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from specforge.modules.attention import SelfAttention
from specforge.modules.dropout import Dropout
from specforge.modules.key_value_cache import KeyValueCache
from specforge.modules.packed_linear import Activation, activated
from specforge.modules.packing import Packing, packs
from specforge.modules.positions import LearnedPositions, SinusoidalPositions
from specforge.plugin import Symbols


class LayerSettings(Protocol):
    """What embedder and layers must know; the configs of all transformers say it."""

    @property
    def embed_dim(self) -> int:
        """Width of embeddings and layers."""

    @property
    def ffn_dim(self) -> int:
        """Width of the feed-forward networks."""

    @property
    def attention_heads(self) -> int:
        """Heads of every attention."""

    @property
    def dropout(self) -> float:
        """On embeddings and the output of every sublayer."""

    @property
    def attention_dropout(self) -> float:
        """On attention weights."""

    @property
    def activation_dropout(self) -> float:
        """Inside the feed-forward networks."""

    @property
    def activation(self) -> Activation:
        """Non-linearity of the feed-forward networks."""

    @property
    def norm(self) -> Literal["post", "pre"]:
        """Where layer norm stands."""

    @property
    def scale_embeddings(self) -> bool:
        """Whether embeddings are multiplied by the square root of the width."""

    @property
    def positions(self) -> Literal["sinusoidal", "learned"]:
        """What tells positions apart."""

    @property
    def max_positions(self) -> int | None:
        """Longest sequence, where there is a limit."""


class Embedder(nn.Module):
    """Symbols to vectors: table, scale, positions, dropout.

    Args:
        config: width, scale, positions and dropout.
        table: [vocabulary, dim], perhaps shared.
        symbols: the vocabulary.
        further: positions beyond `max_positions`, for symbols that a model adds itself.
    """

    def __init__(self, config: LayerSettings, table: nn.Embedding, symbols: Symbols, further: int = 0) -> None:
        super().__init__()
        dim, first = config.embed_dim, symbols.pad + 1
        self._scale = sqrt(dim) if config.scale_embeddings else 1.0
        self.table = table
        self.positions: LearnedPositions | SinusoidalPositions
        if config.positions == "learned":
            assert config.max_positions is not None, "the config sees to it"
            self.positions = LearnedPositions(config.max_positions + further, dim, first, deviation=dim**-0.5)
        else:
            self.positions = SinusoidalPositions(dim, first)
        self.dropout = Dropout(config.dropout)

    def forward(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Return [batch, length, dim] for tokens [batch, length], the first of which stand at position `start`."""
        embedded: Tensor = self.dropout(self.positions(self.table(tokens) * self._scale, start))
        return embedded

    def at(self, tokens: Tensor, positions: Tensor, stop: int) -> Tensor:
        """Return [rows, dim] for tokens [rows], each of which stands at its own position [rows], all below `stop`."""
        embedded: Tensor = self.dropout(self.positions.at(self.table(tokens) * self._scale, positions, stop))
        return embedded


class Residual(nn.Module):
    """What goes around a sublayer: dropout on its output, the sum with its input, and layer norm after or before.

    Args:
        dim: width.
        dropout: on the sublayer's output.
        norm: `post`: norm(x + sublayer(x)), Vaswani et al. 2017; `pre`: x + sublayer(norm(x)).
    """

    def __init__(self, dim: int, dropout: float, norm: Literal["post", "pre"]) -> None:
        super().__init__()
        self.before = norm == "pre"
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def forward(self, values: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the sublayer's output [..., dim] for values [..., dim], with all that goes around it."""
        output = sublayer(self.norm(values) if self.before else values)
        if self.training:  # a call of a module that does nothing is a tenth of a small product
            output = self.dropout(output)
        added: Tensor = values + output
        return added if self.before else self.norm(added)


class FeedForward(nn.Module):
    """Two linear layers with a non-linearity between them, at every position.

    Args:
        config: widths, non-linearity and dropout.
    """

    def __init__(self, config: LayerSettings) -> None:
        super().__init__()
        self.inner = nn.Linear(config.embed_dim, config.ffn_dim)
        self.outer = nn.Linear(config.ffn_dim, config.embed_dim)
        self.dropout = Dropout(config.activation_dropout)
        self.activation = config.activation

    def forward(self, values: Tensor) -> Tensor:
        """Return [..., dim] for values [..., dim]."""
        inner = activated(self.inner, values, self.activation)
        output: Tensor = self.outer(self.dropout(inner) if self.training else inner)
        return output


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network; of a decoder-only model, too, where attention looks back only.

    Args:
        config: sizes and regularisation.
    """

    def __init__(self, config: LayerSettings) -> None:
        super().__init__()
        self.self_attention = SelfAttention(config.embed_dim, config.attention_heads, config.attention_dropout)
        self.self_attention_residual = residual(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_residual = residual(config)

    def forward(
        self, values: Tensor, mask: Tensor | None, *, causal: bool = False, packing: Packing | None = None
    ) -> Tensor:
        """Return the layer's output.

        Args:
            values: [batch, length, dim]; with a packing [symbols, dim].
            mask: [batch, 1, 1, length] of bool, True where there is a symbol; None for everywhere.
            causal: whether a position sees only itself and those before it (without a mask).
            packing: where the symbols stand; no mask is needed then.

        Returns:
            Shaped as the values.
        """
        attention = self.self_attention
        values = self.self_attention_residual(
            values, lambda inner: attention(inner, mask, causal=causal, packing=packing)
        )
        output: Tensor = self.feed_forward_residual(values, self.feed_forward)
        return output

    def prefill(self, values: Tensor, cache: KeyValueCache, layer: int) -> Tensor:
        """Return the layer's causal output [sentences, length, dim] for the first positions, which are stored.

        Args:
            values: [sentences, length, dim].
            cache: of self-attention.
            layer: number of this layer in the cache.
        """
        attention = self.self_attention
        values = self.self_attention_residual(values, lambda inner: attention.prefill(inner, cache, layer))
        output: Tensor = self.feed_forward_residual(values, self.feed_forward)
        return output


def residual(config: LayerSettings) -> Residual:
    """Return what goes around each sublayer of a layer."""
    return Residual(config.embed_dim, config.dropout, config.norm)


def packs_layers(config: LayerSettings, device: torch.device) -> bool:
    """Return whether layers can compute without padding on a device, in autocast's context."""
    return packs(device, config.embed_dim // config.attention_heads, config.attention_dropout)
