"""A decoder-only transformer as fairseq builds it: every symbol from those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from specforge.data.batch import Batch, SequenceBatch
from specforge.models.model import DecodingState, LanguageModel, OutputLayer
from specforge.models.transformer_lm.config import TransformerLMConfig
from specforge.models.transformer_lm.state import TransformerLMState
from specforge.modules.decoding_layer import DecodingLayer
from specforge.modules.embedding import symbol_embedding
from specforge.modules.key_value_cache import KeyValueCache
from specforge.modules.packing import Packing, packing
from specforge.modules.transformer import Embedder, EncoderLayer, packs_layers
from specforge.plugin import ModelContext


class TransformerLM(LanguageModel):
    """A transformer language model.

    Args:
        config: sizes, regularisation and form.
        context: the vocabulary.
    """

    def __init__(self, config: TransformerLMConfig, context: ModelContext) -> None:
        super().__init__()
        self._config = config
        symbols, dim = context.symbols["text"], config.embed_dim
        table = symbol_embedding(symbols, dim, dim**-0.5)
        self.embedder = Embedder(config, table, symbols)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.decoder_layers))
        # Layer norm before each sublayer leaves the last sum without one.
        self.norm = nn.LayerNorm(dim) if config.norm == "pre" else nn.Identity()
        self.output_projection = nn.Linear(dim, symbols.size, bias=False)
        if config.share_embeddings:
            self.output_projection.weight = table.weight
        else:
            nn.init.normal_(self.output_projection.weight, std=dim**-0.5)

    def features(self, batch: Batch) -> Tensor:
        """Return the last layer, [batch, length, dim]."""
        assert isinstance(batch, SequenceBatch)
        values: Tensor = self.embedder(batch.text_in)
        packed = self._packing(batch)
        if packed is not None:
            values = packed.pack(values)
        for layer in self.layers:
            # No mask on the text: its padding stands after all that counts.
            values = layer(values, None, causal=True, packing=packed)
        normed: Tensor = self.norm(values)
        return normed if packed is None else packed.unpack(normed)

    def project(self, features: Tensor) -> Tensor:
        """Return logits [..., vocabulary] of features [..., dim]."""
        logits: Tensor = self.output_projection(features)
        return logits

    def output_layer(self) -> OutputLayer:
        """Return the projection's parameters."""
        return OutputLayer(self.output_projection.weight)

    @torch.no_grad()
    def start(self, text: Tensor, lengths: Tensor, beam: int) -> TransformerLMState:
        """Take in texts in one pass; see the base class."""
        config, (sentences, longest) = self._config, text.shape
        values: Tensor = self.embedder(text)  # [sentences, longest, dim]
        heads = config.attention_heads
        cache = KeyValueCache(len(self.layers), sentences * beam, heads, config.embed_dim // heads, like=values)
        if longest:
            for number, layer in enumerate(self.layers):
                # No mask on the text: its padding stands after all that counts.
                values = cast("EncoderLayer", layer).prefill(values, cache, number)
            cache.advance(longest)
        decoding = [
            _decoding_layer(number, cache, cast("EncoderLayer", layer)) for number, layer in enumerate(self.layers)
        ]
        return TransformerLMState.begun(cache, decoding, lengths, longest, beam, like=values)

    @torch.no_grad()
    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        """Append one symbol to each text and return the logits [rows, vocabulary] of the next."""
        assert isinstance(state, TransformerLMState)
        values = self.embedder.at(tokens, state.positions, state.cache.length + 1)  # [rows, dim]
        bias = state.seen()
        for layer in state.layers:
            values = layer.step(values, bias)
        state.advance()
        return self.project(self.norm(values))

    def blocks(self) -> Sequence[nn.Module]:
        """Return the layers; see the base class."""
        return tuple(self.layers)

    def max_positions(self) -> Mapping[str, int]:
        """Return the longest text; see the base class."""
        return self._config.longest_items()

    def _packing(self, batch: SequenceBatch) -> Packing | None:
        """Return where the symbols stand, where training goes without padding."""
        if not self.training or not packs_layers(self._config, batch.text_in.device):
            return None
        return packing(batch.lengths, batch.text_in.shape[1], batch.symbols.get("text"))


def _decoding_layer(number: int, cache: KeyValueCache, layer: EncoderLayer) -> DecodingLayer:
    around = (layer.self_attention_residual, layer.feed_forward_residual)
    return DecodingLayer(number, cache, layer.self_attention, layer.feed_forward, around)


def build(config: TransformerLMConfig, context: ModelContext) -> TransformerLM:
    """Return a new model with random weights."""
    return TransformerLM(config, context)
