"""What a spec may say about an `rnnsearch` model."""

from __future__ import annotations

from pydantic import Field

from specforge.plugin import ComponentConfig


class RNNSearchConfig(ComponentConfig):
    """GRU encoder-decoder with additive attention.

    Source: Bahdanau et al. 2015, appendix A; the paper has one layer on either side.
    """

    embed_dim: int = Field(default=512, ge=1, description="size of the embeddings")
    hidden_dim: int = Field(default=512, ge=1, description="size of a GRU's state, in the encoder per direction")
    attention_dim: int = Field(default=512, ge=1, description="size of the layer that scores a source position")
    readout_dim: int = Field(default=512, ge=1, description="size of the maxout layer before the vocabulary")
    encoder_layers: int = Field(default=1, ge=1, description="GRU layers that read the source")
    decoder_layers: int = Field(default=1, ge=1, description="GRU layers that write the target")
    bidirectional: bool = Field(default=True, description="whether the source is read from both ends")
    dropout: float = Field(
        default=0.2, ge=0.0, lt=1.0, description="share of embeddings, of what passes between layers and of the readout"
    )
