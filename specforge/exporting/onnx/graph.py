"""Our classifier as one graph without branches: what padding there is stands in a mask, and positions in a table."""

from __future__ import annotations

from math import sqrt
from typing import cast

import torch
from torch import Tensor, nn

from specforge.data.vocabulary import BOS
from specforge.exporting.positions import position_table, written_positions
from specforge.models.transformer_classifier.config import TransformerClassifierConfig
from specforge.models.transformer_classifier.model import TransformerClassifier
from specforge.modules.attention import SelfAttention
from specforge.modules.transformer import EncoderLayer


class ClassifierGraph(nn.Module):
    """The parts of a classifier, put together so that a graph can be read off.

    Args:
        model: in evaluation mode.
        config: its config.
    """

    positions: Tensor

    def __init__(self, model: TransformerClassifier, config: TransformerClassifierConfig) -> None:
        super().__init__()
        self._model = model
        self._heads = config.attention_heads
        self._scale = sqrt(config.embed_dim) if config.scale_embeddings else 1.0
        self._cls = config.pooling == "cls"
        added = 1 if self._cls else 0
        longer = config.model_copy(update={"max_positions": written_positions(config) + added})
        self.register_buffer("positions", position_table(model.embedder, longer))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits [batch, labels].

        Args:
            input_ids: [batch, length] of int64, EOS at the end of each text, padded on the right.
            attention_mask: [batch, length] of int64: 1 where there is a symbol, 0 where there is padding.
        """
        if self._cls:
            input_ids = torch.cat((torch.full_like(input_ids[:, :1], BOS), input_ids), dim=1)
            attention_mask = torch.cat((torch.ones_like(attention_mask[:, :1]), attention_mask), dim=1)
        real = attention_mask.to(self.positions.dtype)  # [batch, length]
        values = self._model.embedder.table(input_ids) * self._scale + self.positions[: input_ids.shape[1]]
        bias = ((1.0 - real) * torch.finfo(real.dtype).min)[:, None, None, :]
        for each in self._model.layers:
            layer = cast("EncoderLayer", each)
            attention = layer.self_attention
            values = layer.self_attention_residual(values, lambda inner, own=attention: self._attend(own, inner, bias))
            values = layer.feed_forward_residual(values, layer.feed_forward)
        encoded: Tensor = self._model.norm(values)
        pooled = (encoded * real[:, :, None]).sum(dim=1) / real.sum(dim=1, keepdim=True)
        vector = encoded[:, 0] if self._cls else pooled
        logits: Tensor = self._model.output_projection(torch.tanh(self._model.head(vector)))
        return logits

    def _attend(self, attention: SelfAttention, values: Tensor, bias: Tensor) -> Tensor:
        """Return the output [batch, length, dim] of self-attention; `bias` keeps it from padding."""
        split = attention.query_key_value(values).unflatten(-1, (3, self._heads, -1))
        query, keys, mixed = (each.transpose(1, 2) for each in split.unbind(2))  # [batch, heads, length, head dim]
        weights = (query * query.shape[-1] ** -0.5 @ keys.transpose(-1, -2) + bias).softmax(dim=-1)
        output: Tensor = attention.output((weights @ mixed).transpose(1, 2).flatten(2))
        return output
