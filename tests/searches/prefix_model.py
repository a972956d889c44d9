"""A model whose distributions are written down: what a search does with it can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import torch
from torch import Tensor

from specforge.data.batch import Batch, SequencePairBatch
from specforge.models.model import DecodingState, EncoderDecoder
from specforge.plugin import Symbols
from specforge.searches.search import Constraints, Sources

_PAD: Final = 1
_EOS: Final = 2

Prefix: TypeAlias = tuple[int, ...]
Distribution: TypeAlias = Callable[[Prefix, Prefix], Sequence[float]]
"""From a source without its end, and a prefix, to the probability of each symbol."""

Attention: TypeAlias = Callable[[Prefix, Prefix], Sequence[float]]
"""From a source without its end, and a prefix, to what the next symbol looks at: a share for each symbol, the end last."""


class PrefixState(DecodingState):
    """Keeps each row's whole prefix, and checks what searches ask of it."""

    def __init__(self, sources: list[Prefix], beam: int) -> None:
        self.beam = beam
        self.sources = sources
        self.prefixes: list[Prefix] = [()] * (len(sources) * beam)
        self.selected = 0  # how often rows were moved
        self.looked: Tensor | None = None

    @property
    def attention(self) -> Tensor | None:
        return self.looked

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        kept = list(range(len(self.sources))) if sentences is None else sentences.tolist()
        assert [sentence for sentence in kept for _ in range(self.beam)] == [row // self.beam for row in rows.tolist()]
        self.sources = [self.sources[sentence] for sentence in kept]
        self.prefixes = [self.prefixes[row] for row in rows.tolist()]
        self.selected += 1
        self.looked = None if self.looked is None else self.looked[rows]


class PrefixModel(EncoderDecoder):
    """Says of each prefix what it was told to say."""

    def __init__(
        self, distribution: Distribution, positions: int | None = None, attention: Attention | None = None
    ) -> None:
        super().__init__()
        self._distribution = distribution
        self._attention = attention
        self._keeping: set[int] = set()  # the states that are asked for attention
        self._positions = positions
        self.states: list[PrefixState] = []
        self.rows: list[int] = []  # of each step

    def start(self, source: Tensor, lengths: Tensor, beam: int) -> DecodingState:
        rows = list(zip(source.tolist(), lengths.tolist(), strict=True))
        assert all({_PAD} >= set(row[length:]) and _EOS == row[length - 1] for row, length in rows)
        self.states.append(PrefixState([tuple(row[: length - 1]) for row, length in rows], beam))
        return self.states[-1]

    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        assert isinstance(state, PrefixState)
        assert _PAD not in tokens.tolist()
        self.rows.append(len(tokens))
        state.prefixes = [(*prefix, token) for prefix, token in zip(state.prefixes, tokens.tolist(), strict=True)]
        rows = [
            self._distribution(state.sources[row // state.beam], prefix[1:])
            for row, prefix in enumerate(state.prefixes)
        ]
        if id(state) in self._keeping:
            state.looked = self._looked(state)
        return torch.tensor(rows, dtype=torch.float64).log()

    def keep_attention(self, state: DecodingState) -> bool:
        if self._attention is not None:
            self._keeping.add(id(state))
        return self._attention is not None

    def _looked(self, state: PrefixState) -> Tensor:
        assert self._attention is not None
        looked = torch.zeros(len(state.prefixes), 1 + max(len(source) for source in state.sources))
        for row, prefix in enumerate(state.prefixes):
            shares = self._attention(state.sources[row // state.beam], prefix[1:])
            looked[row, : len(shares)] = torch.tensor(shares)
        return looked

    def max_positions(self) -> dict[str, int]:
        return {} if self._positions is None else {"target": self._positions}

    def features(self, batch: Batch) -> Tensor:
        assert isinstance(batch, SequencePairBatch)
        raise NotImplementedError

    def project(self, features: Tensor) -> Tensor:
        raise NotImplementedError


def from_table(table: Mapping[Prefix, Mapping[int, float]], size: int) -> Distribution:
    """Return the distribution of a table: prefix → symbol → probability, whatever the source; else the end is sure."""

    def distribution(source: Prefix, prefix: Prefix) -> Sequence[float]:
        del source
        return [table.get(prefix, {_EOS: 1.0}).get(symbol, 0.0) for symbol in range(size)]

    return distribution


def random_distribution(seed: int, size: int) -> Distribution:
    """Return a distribution that is random and yet a function of seed, source and prefix."""

    def distribution(source: Prefix, prefix: Prefix) -> Sequence[float]:
        generator = torch.Generator().manual_seed(hash((seed, source, prefix)) % 2**31)
        logits = 2.0 * torch.randn(size, generator=generator, dtype=torch.float64)
        return list(logits.softmax(0).tolist())

    return distribution


def random_attention(seed: int) -> Attention:
    """Return attention that is random and yet a function of seed, source and prefix."""

    def attention(source: Prefix, prefix: Prefix) -> Sequence[float]:
        generator = torch.Generator().manual_seed(hash((seed, prefix, source)) % 2**31)
        return list(torch.randn(len(source) + 1, generator=generator).softmax(0).tolist())

    return attention


def batch_of(sources: Sequence[Prefix], symbols: Symbols, constraints: Sequence[Constraints] = ()) -> Sources:
    """Return sources, given without their end, as a padded batch."""
    lengths = torch.tensor([len(source) + 1 for source in sources])
    padded = torch.full((len(sources), int(lengths.max())), symbols.pad)
    for row, source in zip(padded, sources, strict=True):
        row[: len(source) + 1] = torch.tensor([*source, symbols.eos])
    return Sources(padded, lengths, constraints)
