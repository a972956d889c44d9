"""What a spec may say of an encoder-only transformer that predicts one label for a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from specforge.models.transformer.layers_config import TransformerLayersConfig


class TransformerClassifierConfig(TransformerLayersConfig):
    """Sizes, regularisation and form of an encoder-only transformer with a head for labels."""

    family: ClassVar[str] = "classifier"

    encoder_layers: int = Field(default=6, ge=1, description="number of layers")
    pooler_dropout: float = Field(default=0.1, ge=0.0, lt=1.0, description="before and after the layer of the head")
    pooling: Literal["mean", "cls"] = Field(
        default="mean",
        description="what stands for a text: the mean of its vectors, or the vector of a `<s>` put before it",
    )

    def longest_items(self) -> Mapping[str, int]:
        """Return the longest text; see the base class."""
        return {} if self.max_positions is None else {"text": self.max_positions}
