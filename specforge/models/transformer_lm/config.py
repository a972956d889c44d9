"""What a spec may say of a decoder-only transformer. The defaults are fairseq's `transformer_lm`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from specforge.models.transformer.layers_config import TransformerLayersConfig


class TransformerLMConfig(TransformerLayersConfig):
    """Sizes, regularisation and form of a decoder-only transformer."""

    family: ClassVar[str] = "language_model"

    decoder_layers: int = Field(default=6, ge=1, description="number of layers")
    share_embeddings: bool = Field(default=False, description="input and output share one table")

    def longest_items(self) -> Mapping[str, int]:
        """Return the longest text; see the base class."""
        return {} if self.max_positions is None else {"text": self.max_positions}
