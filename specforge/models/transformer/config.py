"""What a spec may say of a transformer. The defaults are the base model of Vaswani et al. 2017, as fairseq builds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from specforge.models.transformer.layers_config import TransformerLayersConfig


class TransformerConfig(TransformerLayersConfig):
    """Sizes, regularisation and form of a transformer encoder-decoder; both halves have the same width."""

    encoder_layers: int = Field(default=6, ge=1, description="layers of the encoder")
    decoder_layers: int = Field(default=6, ge=1, description="layers of the decoder")
    norm: Literal["post", "pre"] = Field(
        default="post", description="layer norm after the residual sum, or before each sublayer and once at the end"
    )
    share_embeddings: Literal["none", "decoder", "all"] = Field(
        default="none",
        description="decoder: its input and output share one table; all: the encoder, too (needs one joined vocabulary)",
    )

    def longest_items(self) -> Mapping[str, int]:
        """Return the longest source and target; see the base class."""
        return {} if self.max_positions is None else dict.fromkeys(("source", "target"), self.max_positions)

    def needs_joined_vocabulary(self) -> str | None:
        """Return the field that shares a table between both sides, where it does."""
        return "share_embeddings" if self.share_embeddings == "all" else None
