"""The model itself, asked what an export is compared with: the best symbol after each prefix, in fp32."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, Protocol

import torch
from torch import Tensor

from specforge.data.batch import SequenceBatch, SequencePairBatch
from specforge.data.vocabulary import EOS, PAD, Vocabulary
from specforge.exporting.exportable import Exportable
from specforge.models.model import EncoderDecoder, LanguageModel
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.greedy.search import GreedySearch
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Sources

MOST_SYMBOLS: Final = 200
"""Longest output that is compared, as long as the default of every search."""

_AT_ONCE: Final = 32


class Decoder(Protocol):
    """What answers each line with its most probable symbols, one by one."""

    def decode(self, sources: Sequence[Sequence[int]], most: int) -> list[list[int]]:
        """Return the output of each line without its end.

        Args:
            sources: symbols of each line, without the end of sentence.
            most: symbols of the longest output; it ends there if it has not ended before.
        """


class NativeDecoder(ABC):
    """The model itself."""

    def decode(self, sources: Sequence[Sequence[int]], most: int) -> list[list[int]]:
        """Return the output of each line; see `Decoder`."""
        order = sorted(range(len(sources)), key=lambda number: -len(sources[number]))
        found: list[list[int]] = [[] for _ in sources]
        with torch.inference_mode():
            for start in range(0, len(order), _AT_ONCE):
                numbers = order[start : start + _AT_ONCE]
                outputs = self._decode([sources[number] for number in numbers], most)
                for number, output in zip(numbers, outputs, strict=True):
                    found[number] = output
        return found

    @property
    @abstractmethod
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the outputs."""

    @abstractmethod
    def longest(self) -> int:
        """Return the symbols of the longest output that the model can make of the lines; `MOST_SYMBOLS` at most."""

    @abstractmethod
    def next_log_probs(self, source: Sequence[int], prefix: Sequence[int]) -> Tensor:
        """Return the log-probability of every symbol after a prefix of a line's output, [vocabulary]."""

    @abstractmethod
    def _decode(self, sources: Sequence[Sequence[int]], most: int) -> list[list[int]]:
        """Return the outputs of lines of like length."""


class NativeTranslator(NativeDecoder):
    """An encoder-decoder: greedy search.

    Args:
        model: in evaluation mode.
        vocabulary: of the target.
    """

    def __init__(self, model: EncoderDecoder, vocabulary: Vocabulary) -> None:
        self._model = model
        self._vocabulary = vocabulary

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the target."""
        return self._vocabulary

    def longest(self) -> int:
        """Return what the model's positions leave room for."""
        positions = self._model.max_positions().get("target")
        return MOST_SYMBOLS if positions is None else min(MOST_SYMBOLS, positions - 1)

    def next_log_probs(self, source: Sequence[int], prefix: Sequence[int]) -> Tensor:
        """Return the log-probabilities after a prefix."""
        with torch.inference_mode():
            ended, lengths = _padded([[*source, EOS]])
            target_in, target_lengths = _padded([[EOS, *prefix]])
            batch = SequencePairBatch(ended, lengths, target_in, target_in, target_lengths, target_tokens=1)
            return _log_probs(self._model.project(self._model.features(batch)[0, -1]))

    def _decode(self, sources: Sequence[Sequence[int]], most: int) -> list[list[int]]:
        search = GreedySearch(GreedyConfig(max_length=(0.0, most), min_length=0))
        tokens, lengths = _padded([[*source, EOS] for source in sources])
        found = search.search(ModelScorer(self._model), Sources(tokens, lengths), self._vocabulary.symbols)
        return [list(best.tokens) for best, *_ in found]


class NativeContinuer(NativeDecoder):
    """A language model: each line continued, from the end of sentence before it.

    Args:
        model: in evaluation mode.
        vocabulary: of the text.
    """

    def __init__(self, model: LanguageModel, vocabulary: Vocabulary) -> None:
        self._model = model
        self._vocabulary = vocabulary

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the text."""
        return self._vocabulary

    def longest(self) -> int:
        """Return a length that tells models apart; each symbol costs a pass over all before it."""
        positions = self._model.max_positions().get("text", MOST_SYMBOLS)
        return max(1, min(32, positions // 2))

    def next_log_probs(self, source: Sequence[int], prefix: Sequence[int]) -> Tensor:
        """Return the log-probabilities after a prefix."""
        with torch.inference_mode():
            return self._step([[EOS, *source, *prefix]])[0]

    def _decode(self, sources: Sequence[Sequence[int]], most: int) -> list[list[int]]:
        texts = [[EOS, *source] for source in sources]
        outputs: list[list[int]] = [[] for _ in sources]
        open_rows = list(range(len(sources)))
        for _ in range(most):
            best = self._step([texts[row] for row in open_rows]).argmax(dim=-1).tolist()
            for row, symbol in zip(open_rows, best, strict=True):
                if symbol != EOS:
                    texts[row].append(symbol)
                    outputs[row].append(symbol)
            open_rows = [row for row, symbol in zip(open_rows, best, strict=True) if symbol != EOS]
            if not open_rows:
                break
        return outputs

    def _step(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Return log-probabilities [texts, vocabulary] of what follows."""
        tokens, lengths = _padded(texts)
        features = self._model.features(SequenceBatch(tokens, tokens, lengths, target_tokens=len(texts)))
        return _log_probs(self._model.project(features[torch.arange(len(texts)), lengths - 1]))


def native_decoder(trained: Exportable) -> NativeDecoder:
    """Return the model of an export, ready to be asked.

    Args:
        trained: an encoder-decoder or a language model.
    """
    if isinstance(trained.model, EncoderDecoder):
        return NativeTranslator(trained.model, trained.vocabularies["target"])
    assert isinstance(trained.model, LanguageModel), "classifiers have no outputs of symbols"
    return NativeContinuer(trained.model, trained.vocabularies["text"])


def _log_probs(logits: Tensor) -> Tensor:
    """Return log-probabilities of logits [..., vocabulary]; padding is no output."""
    log_probs = logits.float().log_softmax(dim=-1)
    log_probs[..., PAD] = -torch.inf
    return log_probs


def _padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return rows as [rows, length], padded on the right, and their lengths [rows]."""
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.full((len(rows), int(lengths.max())), PAD)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = torch.tensor(row)
    return padded, lengths
