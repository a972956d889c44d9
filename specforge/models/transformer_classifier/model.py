"""An encoder-only transformer: one vector for a text, and from it a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from specforge.data.batch import Batch, ClassificationBatch
from specforge.models.model import Classifier, OutputLayer
from specforge.models.transformer_classifier.config import TransformerClassifierConfig
from specforge.modules.dropout import Dropout
from specforge.modules.embedding import symbol_embedding
from specforge.modules.packing import packing
from specforge.modules.padding import padding_mask
from specforge.modules.transformer import Embedder, EncoderLayer, packs_layers
from specforge.plugin import ModelContext


class TransformerClassifier(Classifier):
    """A transformer encoder with a head: dropout, a layer with tanh, dropout, and the projection to labels.

    The head is that of RoBERTa as fairseq builds it (Liu et al. 2019); there it stands on the vector of `<s>`.

    Args:
        config: sizes, regularisation and form.
        context: the vocabulary, and how many labels there are.
    """

    def __init__(self, config: TransformerClassifierConfig, context: ModelContext) -> None:
        super().__init__()
        self._config = config
        symbols, dim = context.symbols["text"], config.embed_dim
        self._bos = symbols.bos
        added = 1 if config.pooling == "cls" else 0
        self.embedder = Embedder(config, symbol_embedding(symbols, dim, dim**-0.5), symbols, added)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        # Layer norm before each sublayer leaves the last sum without one.
        self.norm = nn.LayerNorm(dim) if config.norm == "pre" else nn.Identity()
        self.dropout = Dropout(config.pooler_dropout)
        self.head = nn.Linear(dim, dim)
        self.output_projection = nn.Linear(dim, context.labels["label"])
        for layer in (self.head, self.output_projection):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def features(self, batch: Batch) -> Tensor:
        """Return the vector that labels are predicted from, [batch, dim]."""
        assert isinstance(batch, ClassificationBatch)
        pooled = self.dropout(self._pooled(batch.text, batch.text_lengths, batch.symbols.get("text")))
        features: Tensor = self.dropout(torch.tanh(self.head(pooled)))
        return features

    def project(self, features: Tensor) -> Tensor:
        """Return logits [..., labels] of features [..., dim]."""
        logits: Tensor = self.output_projection(features)
        return logits

    def output_layer(self) -> OutputLayer:
        """Return the projection's parameters."""
        return OutputLayer(self.output_projection.weight, self.output_projection.bias)

    def blocks(self) -> Sequence[nn.Module]:
        """Return the layers; see the base class."""
        return tuple(self.layers)

    def max_positions(self) -> Mapping[str, int]:
        """Return the longest text; see the base class."""
        return self._config.longest_items()

    def _pooled(self, text: Tensor, lengths: Tensor, symbols: int | None = None) -> Tensor:
        """Return one vector for each text, [batch, dim].

        Args:
            text: [batch, length] of int64.
            lengths: [batch] of int64.
            symbols: their sum, where it is known.
        """
        if self._config.pooling == "cls":
            with_bos = torch.cat((torch.full_like(text[:, :1], self._bos), text), dim=1)
            encoded = self._encoded(with_bos, lengths + 1, None if symbols is None else symbols + len(text))
            return encoded[:, 0]
        encoded = self._encoded(text, lengths, symbols)  # [batch, length, dim]
        real = torch.arange(text.shape[1], device=text.device) < lengths[:, None]  # [batch, length]
        return (encoded * real[:, :, None]).sum(dim=1) / lengths[:, None]

    def _encoded(self, text: Tensor, lengths: Tensor, symbols: int | None = None) -> Tensor:
        """Return the last layer, [batch, length, dim]."""
        values: Tensor = self.embedder(text)
        packed = None
        if self.training and packs_layers(self._config, text.device):
            packed = packing(lengths, text.shape[1], symbols)
        mask = padding_mask(lengths, text.shape[1]) if packed is None else None
        if packed is not None:
            values = packed.pack(values)
        for layer in self.layers:
            values = layer(values, mask, packing=packed)
        normed: Tensor = self.norm(values)
        return normed if packed is None else packed.unpack(normed)


def build(config: TransformerClassifierConfig, context: ModelContext) -> TransformerClassifier:
    """Return a new model with random weights."""
    return TransformerClassifier(config, context)
