"""A language model whose distributions are written down, as those of `prefix_model`: what it adds can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import torch
from torch import Tensor

from specforge.data.batch import Batch
from specforge.models.model import DecodingState, LanguageModel

_EOS: Final = 2

Text: TypeAlias = tuple[int, ...]
TextDistribution: TypeAlias = Callable[[Text], Sequence[float]]
"""From a text so far, the EOS before it left out, to the probability of each symbol."""


class TextState(DecodingState):
    """Keeps each row's whole text."""

    def __init__(self, texts: list[Text]) -> None:
        self.texts = texts

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        del sentences
        self.texts = [self.texts[row] for row in rows.tolist()]


class PrefixLanguageModel(LanguageModel):
    """Says of each text what it was told to say; each begins with EOS, and no other symbol of it is one."""

    def __init__(self, distribution: TextDistribution, positions: int | None = None) -> None:
        super().__init__()
        self._distribution = distribution
        self._positions = positions

    def start(self, text: Tensor, lengths: Tensor, beam: int) -> DecodingState:
        given = [tuple(row[:length]) for row, length in zip(text.tolist(), lengths.tolist(), strict=True)]
        return TextState([row for row in given for _ in range(beam)])

    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        assert isinstance(state, TextState)
        state.texts = [(*text, token) for text, token in zip(state.texts, tokens.tolist(), strict=True)]
        assert all(text[0] == _EOS for text in state.texts)
        assert self._positions is None or all(len(text) <= self._positions for text in state.texts)
        rows = [self._distribution(text[1:]) for text in state.texts]
        return torch.tensor(rows, dtype=torch.float64).log()

    def max_positions(self) -> dict[str, int]:
        return {} if self._positions is None else {"text": self._positions}

    def features(self, batch: Batch) -> Tensor:
        raise NotImplementedError

    def project(self, features: Tensor) -> Tensor:
        raise NotImplementedError


def text_table(table: dict[Text, dict[int, float]], size: int) -> TextDistribution:
    """Return the distribution of a table: text → symbol → probability; for others the end is sure."""

    def distribution(text: Text) -> Sequence[float]:
        return [table.get(text, {_EOS: 1.0}).get(symbol, 0.0) for symbol in range(size)]

    return distribution


def random_texts(seed: int, size: int) -> TextDistribution:
    """Return a distribution that is random and yet a function of seed and text."""

    def distribution(text: Text) -> Sequence[float]:
        generator = torch.Generator().manual_seed(hash((seed, text)) % 2**31)
        return list((2.0 * torch.randn(size, generator=generator, dtype=torch.float64)).softmax(0).tolist())

    return distribution
