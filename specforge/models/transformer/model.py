"""The transformer of Vaswani et al. 2017 as fairseq builds it, from source and target symbols to features and logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from specforge.data.batch import Batch, SequencePairBatch
from specforge.foundation.errors import WrongInputError
from specforge.models.model import DecodingState, EncoderDecoder, OutputLayer
from specforge.models.transformer.config import TransformerConfig
from specforge.models.transformer.layers import DecoderLayer
from specforge.models.transformer.recorded import RecordedDecoder, RecordedState
from specforge.models.transformer.state import TransformerState
from specforge.modules.embedding import symbol_embedding
from specforge.modules.key_value_cache import KeyValueCache
from specforge.modules.packing import Packing, packing
from specforge.modules.padding import padding_mask
from specforge.modules.recorder import Recorder
from specforge.modules.source_attention import source_attention
from specforge.modules.transformer import Embedder, EncoderLayer, packs_layers
from specforge.plugin import ModelContext


class Transformer(EncoderDecoder):
    """A transformer encoder-decoder.

    Args:
        config: sizes, regularisation and form.
        context: the vocabularies.

    Raises:
        WrongInputError: SF301, embeddings shared by both sides without a joined vocabulary.
    """

    def __init__(self, config: TransformerConfig, context: ModelContext) -> None:
        super().__init__()
        _check_sharing(config, context)
        self._config = config
        source, target = context.symbols["source"], context.symbols["target"]
        self._padding = source.pad
        dim = config.embed_dim
        table = symbol_embedding(source, dim, dim**-0.5)
        self.source_embedder = Embedder(config, table, source)
        if config.share_embeddings != "all":
            table = symbol_embedding(target, dim, dim**-0.5)
        self.target_embedder = Embedder(config, table, target)
        self.encoder_layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.decoder_layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        # Layer norm before each sublayer leaves the last sum without one.
        self.encoder_norm = nn.LayerNorm(dim) if config.norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(dim) if config.norm == "pre" else nn.Identity()
        self._recorded: RecordedDecoder | None = None
        self.output_projection = nn.Linear(dim, target.size, bias=False)
        if config.share_embeddings == "none":
            nn.init.normal_(self.output_projection.weight, std=dim**-0.5)
        else:
            self.output_projection.weight = table.weight

    def features(self, batch: Batch) -> Tensor:
        """Return the decoder's last layer, [batch, target length, dim]."""
        assert isinstance(batch, SequencePairBatch)
        packings = self._packings(batch)
        if packings is not None:
            return self._packed_features(batch, *packings)
        mask = padding_mask(batch.source_lengths, batch.source.shape[1])
        memory = self._encode(batch.source, mask)
        values: Tensor = self.target_embedder(batch.target_in)
        for layer in self.decoder_layers:
            values = layer(values, memory, mask)
        normed: Tensor = self.decoder_norm(values)
        return normed

    def project(self, features: Tensor) -> Tensor:
        """Return logits [..., vocabulary] of features [..., dim]."""
        logits: Tensor = self.output_projection(features)
        return logits

    def output_layer(self) -> OutputLayer:
        """Return the projection's parameters."""
        return OutputLayer(self.output_projection.weight)

    @torch.no_grad()
    def start(self, source: Tensor, lengths: Tensor, beam: int) -> TransformerState | RecordedState:
        """Encode sources and prepare to decode `beam` prefixes of each; see the base class."""
        mask = padding_mask(lengths, source.shape[1])
        memory = self._encode(source, mask)
        layers = self._layers()
        bias = None if mask is None else memory.new_zeros(mask.shape).masked_fill_(~mask, -torch.inf).squeeze(1)
        if self._recorded is not None and (recorded := self._recorded.begin(memory, bias, beam)) is not None:
            return recorded
        heads = self._config.attention_heads
        cache = KeyValueCache(len(layers), len(source) * beam, heads, memory.shape[-1] // heads, memory, beam)
        sources = [source_attention(layer.cross_attention, memory, bias) for layer in layers]
        decoding = [layer.decoding(number, cache, sources[number]) for number, layer in enumerate(layers)]
        return TransformerState(cache, decoding, len(source))

    @torch.no_grad()
    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        """Append one symbol to each prefix and return the logits [rows, vocabulary] of the next."""
        if isinstance(state, RecordedState):
            return state.step(self.target_embedder(tokens[:, None], state.length).squeeze(1))
        assert isinstance(state, TransformerState)
        copies = state.cache.beam // state.cache.distinct  # what is alike is computed once
        values = self.target_embedder(tokens[::copies, None], state.cache.length).squeeze(1)  # [rows, dim]
        for layer in state.layers:
            values = layer.step(values)
        state.cache.advance()
        logits = self.project(self.decoder_norm(values))
        return logits if copies == 1 else logits.repeat_interleave(copies, dim=0)

    def keep_attention(self, state: DecodingState) -> bool:
        """Let further steps keep the attention of the last layer; see the base class."""
        assert isinstance(state, TransformerState | RecordedState)
        state.keeps_attention = True
        return True

    def record_steps(self, recorder: Recorder) -> bool:
        """Record steps from now on; see the base class."""
        self._recorded = RecordedDecoder(
            self._layers(),
            lambda values: self.project(self.decoder_norm(values)),
            len(self.output_layer().weight),
            recorder,
        )
        return True

    def blocks(self) -> Sequence[nn.Module]:
        """Return the layers of both sides; see the base class."""
        return (*self.encoder_layers, *self.decoder_layers)

    def max_positions(self) -> Mapping[str, int]:
        """Return the longest source and target; see the base class."""
        return self._config.longest_items()

    def _layers(self) -> list[DecoderLayer]:
        """Return those of the decoder."""
        return [cast("DecoderLayer", layer) for layer in self.decoder_layers]

    def _encode(self, source: Tensor, mask: Tensor | None) -> Tensor:
        """Return the encoder's last layer, [batch, source length, dim]."""
        values: Tensor = self.source_embedder(source)
        for layer in self.encoder_layers:
            values = layer(values, mask)
        normed: Tensor = self.encoder_norm(values)
        return normed

    def _packings(self, batch: SequencePairBatch) -> tuple[Packing, Packing] | None:
        """Return where the symbols of target and source stand, where training goes without padding."""
        if not self.training or not packs_layers(self._config, batch.source.device):
            return None
        target = packing(batch.target_lengths, batch.target_in.shape[1], batch.symbols.get("target"))
        source = packing(batch.source_lengths, batch.source.shape[1], batch.symbols.get("source"))
        return None if target is None or source is None else (target, source)

    def _packed_features(self, batch: SequencePairBatch, target: Packing, source: Packing) -> Tensor:
        """Return what `features` does; the layers compute on symbols alone."""
        memory = source.pack(self.source_embedder(batch.source))
        for layer in self.encoder_layers:
            memory = layer(memory, None, packing=source)
        memory = self.encoder_norm(memory)
        values = target.pack(self.target_embedder(batch.target_in))
        for layer in self.decoder_layers:
            values = layer(values, memory, None, (target, source))
        return target.unpack(self.decoder_norm(values))


def _check_sharing(config: TransformerConfig, context: ModelContext) -> None:
    if config.share_embeddings == "all" and not context.joined:
        raise WrongInputError(
            "SF301",
            'model.share_embeddings = "all" needs one vocabulary for both sides',
            notes=("source and target have a vocabulary each, so there is no table that both could share",),
            help='write `joined_dictionary = true` in [preprocess], or `share_embeddings = "decoder"`',
        )


def build(config: TransformerConfig, context: ModelContext) -> Transformer:
    """Return a new model with random weights."""
    return Transformer(config, context)
