"""What a spec may say of an encoder-only transformer that predicts one label for a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from specforge.models.transformer.config import check_heads, check_positions
from specforge.plugin import ModelConfig


class TransformerClassifierConfig(ModelConfig):
    """Sizes, regularisation and form of an encoder-only transformer with a head for labels."""

    family: ClassVar[str] = "classifier"

    encoder_layers: int = Field(default=6, ge=1, description="number of layers")
    embed_dim: int = Field(default=512, ge=1, description="width of embeddings and layers")
    ffn_dim: int = Field(default=2_048, ge=1, description="width of the feed-forward networks")
    attention_heads: int = Field(default=8, ge=1, description="heads of every attention; they share embed_dim")
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0, description="on embeddings and the output of every sublayer")
    attention_dropout: float = Field(default=0.0, ge=0.0, lt=1.0, description="on attention weights")
    activation_dropout: float = Field(default=0.0, ge=0.0, lt=1.0, description="inside the feed-forward networks")
    pooler_dropout: float = Field(default=0.1, ge=0.0, lt=1.0, description="before and after the layer of the head")
    activation: Literal["relu", "gelu", "silu"] = Field(
        default="relu", description="non-linearity of the feed-forward networks"
    )
    norm: Literal["post", "pre"] = Field(
        default="pre", description="layer norm after the residual sum, or before each sublayer and once at the end"
    )
    pooling: Literal["mean", "cls"] = Field(
        default="mean",
        description="what stands for a text: the mean of its vectors, or the vector of a `<s>` put before it",
    )
    scale_embeddings: bool = Field(default=True, description="multiply embeddings by the square root of embed_dim")
    positions: Literal["sinusoidal", "learned"] = Field(default="sinusoidal", description="what tells positions apart")
    max_positions: int | None = Field(
        default=None,
        ge=1,
        description="longest text, end of sentence counted; learned positions need it, sinusoidal do not",
    )

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> TransformerClassifierConfig:
        """`embed_dim` is a multiple of `attention_heads`."""
        check_heads(self.embed_dim, self.attention_heads)
        return self

    @model_validator(mode="after")
    def _positions_fit(self) -> TransformerClassifierConfig:
        """Learned `positions` need `max_positions`; sinusoidal ones an even `embed_dim`."""
        check_positions(self.positions, self.max_positions, self.embed_dim)
        return self

    def longest_items(self) -> Mapping[str, int]:
        """Return the longest text; see the base class."""
        return {} if self.max_positions is None else {"text": self.max_positions}
