"""The convolutional model of Gehring et al. 2017 as fairseq builds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import torch
from torch import Tensor, nn

from specforge.data.batch import Batch, SequencePairBatch
from specforge.models.fconv.config import FConvConfig
from specforge.models.fconv.layers import ROOT_HALF, ConvolutionLayer, FoldedLayer, Source, convolution_layers, windows
from specforge.models.fconv.state import FConvState, FoldedDecoder
from specforge.models.model import DecodingState, EncoderDecoder, OutputLayer
from specforge.modules.dropout import Dropout
from specforge.modules.embedding import symbol_embedding
from specforge.modules.gradient import scale_gradient
from specforge.modules.padding import padding_mask
from specforge.modules.positions import LearnedPositions
from specforge.modules.weight_norm import folded, weight_norm_linear
from specforge.plugin import ModelContext, Symbols

_DEVIATION: Final = 0.1
"""Standard deviation that embeddings and positions are drawn with."""


class Embedder(nn.Module):
    """Symbols to vectors: table, positions, dropout.

    Args:
        config: width, positions and dropout.
        symbols: the vocabulary.
    """

    def __init__(self, config: FConvConfig, symbols: Symbols) -> None:
        super().__init__()
        self.table = symbol_embedding(symbols, config.embed_dim, _DEVIATION)
        self.positions = LearnedPositions(config.max_positions, config.embed_dim, symbols.pad + 1, _DEVIATION)
        self.dropout = Dropout(config.dropout)

    def forward(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Return [batch, length, dim] for tokens [batch, length], the first of which stand at position `start`."""
        embedded: Tensor = self.dropout(self.positions(self.table(tokens), start))
        return embedded


class Encoder(nn.Module):
    """Source symbols to keys and values for the decoder's attention.

    Args:
        config: sizes and regularisation.
        symbols: the source vocabulary.
    """

    def __init__(self, config: FConvConfig, symbols: Symbols) -> None:
        super().__init__()
        layers, dropout = config.encoder_layers, config.dropout
        self.embedder = Embedder(config, symbols)
        self.enter = weight_norm_linear(config.embed_dim, layers[0][0], 1.0 - dropout)
        self.layers = nn.ModuleList(convolution_layers(layers, dropout, [False] * len(layers), config.embed_dim))
        self.leave = weight_norm_linear(layers[-1][0], config.embed_dim, 1.0)
        self.dropout = Dropout(dropout)
        # Every attention sends a gradient twice, through keys and through values; Gehring et al. 2017, section 3.5.
        self._gradient_scale = 1.0 / (2 * sum(config.attending()))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Source:
        """Return the encoded source of tokens [sentences, source length] with their lengths [sentences]."""
        mask = padding_mask(lengths, tokens.shape[1])
        padded = None if mask is None else ~mask[:, 0, 0, :, None]  # [sentences, source length, 1]
        embedded: Tensor = self.embedder(tokens)
        values = folded(self.enter)(embedded)
        history = [values]
        for layer in _folded(self.layers):
            inputs = self.dropout(_without(values, padded))
            convolved = layer.convolve(windows(inputs, layer.kernel, before=(layer.kernel - 1) // 2))
            values = layer.add_residual(convolved, history)
            history.append(values)
        keys = scale_gradient(_without(folded(self.leave)(values), padded), self._gradient_scale)
        bias = (
            None
            if mask is None
            else torch.zeros_like(mask[:, 0], dtype=keys.dtype).masked_fill(~mask[:, 0], -torch.inf)
        )
        return Source(keys, (keys + embedded) * ROOT_HALF, bias, lengths.to(embedded.dtype).sqrt()[:, None, None])


class Decoder(nn.Module):
    """Target symbols and encoded source to features.

    Args:
        config: sizes and regularisation.
        symbols: the target vocabulary.
    """

    def __init__(self, config: FConvConfig, symbols: Symbols) -> None:
        super().__init__()
        layers, dropout = config.decoder_layers, config.dropout
        self.embedder = Embedder(config, symbols)
        self.enter = weight_norm_linear(config.embed_dim, layers[0][0], 1.0 - dropout)
        self.layers = nn.ModuleList(convolution_layers(layers, dropout, config.attending(), config.embed_dim))
        self.leave = weight_norm_linear(layers[-1][0], config.out_embed_dim, 1.0)
        self.dropout = Dropout(dropout)
        if config.share_input_output_embed:
            self.output = nn.Linear(config.out_embed_dim, symbols.size)
            self.output.weight = self.embedder.table.weight
        else:
            self.output = weight_norm_linear(config.out_embed_dim, symbols.size, 1.0 - dropout)

    def forward(self, tokens: Tensor, source: Source) -> Tensor:
        """Return features [batch, target length, out dim] of tokens [batch, target length]."""
        embedded: Tensor = self.embedder(tokens)
        values = folded(self.enter)(embedded)
        history = [values]
        for layer in _folded(self.layers):
            values = layer.convolve(windows(self.dropout(values), layer.kernel, before=layer.kernel - 1))
            if layer.attention is not None:
                values = layer.attention(values, embedded, source)
            values = layer.add_residual(values, history)
            history.append(values)
        features: Tensor = self.dropout(folded(self.leave)(values))
        return features

    def step(self, tokens: Tensor, state: FConvState) -> Tensor:
        """Return features [rows, out dim] of one more symbol of each prefix, tokens [rows]."""
        weights, source = state.weights, state.source
        beams = (len(source.keys), -1)  # [rows, …] ↔ [sentences, beam, …]: the prefixes of a sentence share its source
        embedded = self.embedder(tokens[:, None], state.length).squeeze(1)  # [rows, dim]
        values = weights.enter(embedded)
        history = [values]
        looked: list[Tensor] = []
        for number, layer in enumerate(weights.layers):
            window = torch.cat((state.recent[number], values[:, None]), dim=1)  # [rows, kernel, inputs]
            state.recent[number] = window[:, 1:]
            values = layer.convolve(window.flatten(1))
            if layer.attention is not None:
                queries = values.unflatten(0, beams)  # [sentences, beam, channels]
                looked.append(layer.attention.weights(queries, embedded.unflatten(0, beams), source))
                values = layer.attention.read(queries, looked[-1], source).flatten(0, 1)
            values = layer.add_residual(values, history)
            history.append(values)
        state.length += 1
        if state.keeps_attention:
            state.looked = torch.stack(looked).float().mean(dim=0).flatten(0, 1)
        return weights.leave(values)

    def folded(self) -> FoldedDecoder:
        """Return all weights but the embeddings as plain tensors."""
        return FoldedDecoder(folded(self.enter), _folded(self.layers), folded(self.leave), folded(self.output))


class FConv(EncoderDecoder):
    """A convolutional encoder-decoder.

    Args:
        config: sizes and regularisation.
        context: the vocabularies.
    """

    def __init__(self, config: FConvConfig, context: ModelContext) -> None:
        super().__init__()
        self._longest = config.max_positions
        self.encoder = Encoder(config, context.symbols["source"])
        self.decoder = Decoder(config, context.symbols["target"])

    def features(self, batch: Batch) -> Tensor:
        """Return what the vocabulary projection sees, [batch, target length, out dim]."""
        assert isinstance(batch, SequencePairBatch)
        features: Tensor = self.decoder(batch.target_in, self.encoder(batch.source, batch.source_lengths))
        return features

    def project(self, features: Tensor) -> Tensor:
        """Return logits [..., vocabulary] of features [..., out dim]."""
        return folded(self.decoder.output)(features)

    def output_layer(self) -> OutputLayer:
        """Return the projection's weights; with weight norm they are made of the parameters."""
        return OutputLayer(*folded(self.decoder.output))

    @torch.no_grad()
    def start(self, source: Tensor, lengths: Tensor, beam: int) -> FConvState:
        """Encode sources and prepare to decode `beam` prefixes of each; see the base class."""
        encoded = self.encoder(source, lengths)
        weights = self.decoder.folded()
        rows = len(source) * beam
        sizes = [(layer.kernel - 1, layer.convolution.weight.shape[1] // layer.kernel) for layer in weights.layers]
        return FConvState(weights, encoded, [encoded.keys.new_zeros(rows, *size) for size in sizes])

    @torch.no_grad()
    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        """Append one symbol to each prefix and return the logits [rows, vocabulary] of the next."""
        assert isinstance(state, FConvState)
        return state.weights.output(self.decoder.step(tokens, state))

    def keep_attention(self, state: DecodingState) -> bool:
        """Let the state keep the mean of what the layers that attend look at; see the base class."""
        assert isinstance(state, FConvState)
        state.keeps_attention = True
        return True

    def max_positions(self) -> Mapping[str, int]:
        """Return the longest source and target; see the base class."""
        return dict.fromkeys(("source", "target"), self._longest)


def _folded(layers: nn.ModuleList) -> list[FoldedLayer]:
    return [cast("ConvolutionLayer", layer).folded() for layer in layers]


def _without(values: Tensor, padded: Tensor | None) -> Tensor:
    """Zero values [batch, length, channels] where `padded` [batch, length, 1] is True."""
    return values if padded is None else values.masked_fill(padded, 0.0)


def build(config: FConvConfig, context: ModelContext) -> FConv:
    """Return a new model with random weights."""
    return FConv(config, context)
