"""The model: an encoder of GRUs, additive attention, and a decoder that looks at the source before every step.

The attention of a step is asked for with the decoder's former state, so training runs over the target one position after
another, through the same `_Decoder.advance` that decoding uses: the two cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from specforge.data.batch import Batch, SequencePairBatch
from specforge.models.model import DecodingState, EncoderDecoder, OutputLayer
from specforge.plugin import ModelContext
from specforge_rnnsearch.config import RNNSearchConfig


@dataclass(slots=True)
class Memory:
    """The encoded source.

    Args:
        annotations: [sentences, source length, annotation dim], the encoder's states.
        keys: [sentences, source length, attention dim], their part of the attention's score, computed once.
        padding: [sentences, source length] of bool, True where there is no source symbol.
    """

    annotations: Tensor
    keys: Tensor
    padding: Tensor

    def select(self, sentences: Tensor) -> Memory:
        """Return the memory of some of the sentences."""
        return Memory(self.annotations[sentences], self.keys[sentences], self.padding[sentences])


@dataclass(slots=True)
class RNNSearchState(DecodingState):
    """What decoding keeps: the source once per sentence, the decoder's layers once per prefix.

    Args:
        memory: the encoded source.
        hidden: for each layer [rows, hidden dim], the state after the last symbol.
        keeps_attention: whether steps fill `looked`.
        looked: [rows, source length], where the last step looked.
    """

    memory: Memory
    hidden: list[Tensor]
    keeps_attention: bool = False
    looked: Tensor | None = None

    @property
    def attention(self) -> Tensor | None:
        """What the last step looked at; see the base class."""
        return self.looked

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        """Reorder and drop, in place; see the base class."""
        self.hidden = [layer[rows] for layer in self.hidden]
        self.looked = None if self.looked is None else self.looked[rows]
        if sentences is not None:
            self.memory = self.memory.select(sentences)


class AdditiveAttention(nn.Module):
    """Score a source position by v · tanh(W s + U h), where s is the decoder's state and h the position's annotation.

    Source: Bahdanau et al. 2015, appendix A.1.2. U h is the same for every step and comes with the memory.

    Args:
        query_dim: size of s.
        annotation_dim: size of h.
        attention_dim: size of v.
    """

    def __init__(self, query_dim: int, annotation_dim: int, attention_dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_dim, attention_dim)
        self.key = nn.Linear(annotation_dim, attention_dim, bias=False)
        self.score = nn.Linear(attention_dim, 1, bias=False)

    def forward(self, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return the mean annotation as the states weigh it, and the weights.

        Args:
            state: [rows, query dim], equally many consecutive rows for each sentence.
            memory: of the sentences.

        Returns:
            [rows, annotation dim] and [rows, source length]
        """
        sentences, length, annotation_dim = memory.annotations.shape
        query = self.query(state).view(sentences, -1, 1, memory.keys.shape[-1])  # [sentences, beam, 1, attention dim]
        scores = self.score(torch.tanh(query + memory.keys.unsqueeze(1))).squeeze(
            -1
        )  # [sentences, beam, source length]
        weights = scores.masked_fill(memory.padding.unsqueeze(1), -torch.inf).softmax(dim=-1)
        context: Tensor = weights @ memory.annotations  # [sentences, beam, annotation dim]
        return context.view(-1, annotation_dim), weights.view(-1, length)


class _Encoder(nn.Module):
    def __init__(self, config: RNNSearchConfig, vocabulary: int, padding: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, config.embed_dim, padding_idx=padding)
        self.dropout = nn.Dropout(config.dropout)
        self.gru = nn.GRU(
            config.embed_dim,
            config.hidden_dim,
            config.encoder_layers,
            batch_first=True,
            dropout=config.dropout if config.encoder_layers > 1 else 0.0,  # torch warns where it would act on nothing
            bidirectional=config.bidirectional,
        )

    def forward(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the annotations [batch, source length, annotation dim] and the last layer's last state [batch, hidden dim].

        Packing keeps padding out of both directions. Read backwards, the last state is the one at the first symbol.
        """
        embedded = self.dropout(self.embedding(source))  # [batch, source length, embed dim]
        packed = pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, last = self.gru(packed)
        annotations, _ = pad_packed_sequence(states, batch_first=True, total_length=source.shape[1])
        return annotations, last[-1]


class _Decoder(nn.Module):
    def __init__(self, config: RNNSearchConfig, vocabulary: int, padding: int) -> None:
        super().__init__()
        hidden_dim = config.hidden_dim
        annotation_dim = hidden_dim * 2 if config.bidirectional else hidden_dim
        self.embedding = nn.Embedding(vocabulary, config.embed_dim, padding_idx=padding)
        self.dropout = nn.Dropout(config.dropout)
        self.attention = AdditiveAttention(hidden_dim, annotation_dim, config.attention_dim)
        self.bridge = nn.Linear(hidden_dim, config.decoder_layers * hidden_dim)
        self.cells = nn.ModuleList(
            nn.GRUCell(config.embed_dim + annotation_dim if layer == 0 else hidden_dim, hidden_dim)
            for layer in range(config.decoder_layers)
        )
        self.readout = nn.Linear(hidden_dim + config.embed_dim + annotation_dim, 2 * config.readout_dim)

    def first(self, last: Tensor) -> list[Tensor]:
        """Return each layer's state [batch, hidden dim] before the first symbol, from the encoder's last state."""
        return list(torch.tanh(self.bridge(last)).chunk(len(self.cells), dim=-1))

    def advance(self, embedded: Tensor, hidden: list[Tensor], memory: Memory) -> tuple[list[Tensor], Tensor, Tensor]:
        """Read one more symbol.

        Args:
            embedded: [rows, embed dim] of the symbol.
            hidden: each layer's state before it, [rows, hidden dim].
            memory: of the sentences that the rows belong to.

        Returns:
            Each layer's state after it, the context [rows, annotation dim] that was looked at, and how much of it was
            which source symbol, [rows, source length].
        """
        context, looked = self.attention(hidden[-1], memory)
        below = torch.cat((embedded, context), dim=-1)
        after: list[Tensor] = []
        for cell, before in zip(self.cells, hidden, strict=True):
            after.append(cell(self.dropout(below) if after else below, before))
            below = after[-1]
        return after, context, looked

    def read_out(self, state: Tensor, embedded: Tensor, context: Tensor) -> Tensor:
        """Return the maxout layer [..., readout dim] over state, symbol and context; the paper's appendix A.2.2."""
        pairs = self.readout(torch.cat((state, embedded, context), dim=-1)).unflatten(-1, (-1, 2))
        layer: Tensor = self.dropout(pairs.amax(dim=-1))
        return layer


class RNNSearch(EncoderDecoder):
    """The model of Bahdanau et al. 2015.

    Args:
        config: sizes.
        context: the vocabularies.
    """

    def __init__(self, config: RNNSearchConfig, context: ModelContext) -> None:
        super().__init__()
        source, target = context.symbols["source"], context.symbols["target"]
        self._padding = source.pad
        self.encoder = _Encoder(config, source.size, source.pad)
        self.decoder = _Decoder(config, target.size, target.pad)
        self.output = nn.Linear(config.readout_dim, target.size)
        for module in self.modules():
            if isinstance(module, nn.RNNBase | nn.RNNCellBase):
                _make_orthogonal(module)

    def features(self, batch: Batch) -> Tensor:
        """Return the maxout layer at every target position, [batch, target length, readout dim]."""
        assert isinstance(batch, SequencePairBatch)
        memory, hidden = self._encode(batch.source, batch.source_lengths)
        embedded = self.decoder.dropout(self.decoder.embedding(batch.target_in))  # [batch, target length, embed dim]
        states, contexts = [], []
        for symbol in embedded.unbind(dim=1):
            hidden, context, _ = self.decoder.advance(symbol, hidden, memory)
            states.append(hidden[-1])
            contexts.append(context)
        return self.decoder.read_out(torch.stack(states, dim=1), embedded, torch.stack(contexts, dim=1))

    def project(self, features: Tensor) -> Tensor:
        """Return logits [..., vocabulary] of features [..., readout dim]."""
        logits: Tensor = self.output(features)
        return logits

    def output_layer(self) -> OutputLayer:
        """Return the projection's parameters."""
        return OutputLayer(self.output.weight, self.output.bias)

    def start(self, source: Tensor, lengths: Tensor, beam: int) -> RNNSearchState:
        """Encode sources and prepare to decode `beam` prefixes of each; see the base class."""
        memory, hidden = self._encode(source, lengths)
        return RNNSearchState(memory, [layer.repeat_interleave(beam, dim=0) for layer in hidden])

    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        """Append one symbol to each prefix and return the logits [rows, vocabulary] of the next."""
        assert isinstance(state, RNNSearchState)
        embedded = self.decoder.dropout(self.decoder.embedding(tokens))
        state.hidden, context, looked = self.decoder.advance(embedded, state.hidden, state.memory)
        if state.keeps_attention:
            state.looked = looked.float()
        return self.project(self.decoder.read_out(state.hidden[-1], embedded, context))

    def keep_attention(self, state: DecodingState) -> bool:
        """Let the state keep what each step looks at; see the base class."""
        assert isinstance(state, RNNSearchState)
        state.keeps_attention = True
        return True

    def _encode(self, source: Tensor, lengths: Tensor) -> tuple[Memory, list[Tensor]]:
        annotations, last = self.encoder(source, lengths)
        memory = Memory(annotations, self.decoder.attention.key(annotations), source == self._padding)
        return memory, self.decoder.first(last)


def _make_orthogonal(module: nn.Module) -> None:
    """Start recurrent weights as orthogonal matrices, gate by gate; the paper's appendix B.1."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.startswith("weight_hh"):
                for gate in parameter.chunk(3):
                    nn.init.orthogonal_(gate)


def build(config: RNNSearchConfig, context: ModelContext) -> RNNSearch:
    """Return a new model with random weights."""
    return RNNSearch(config, context)
