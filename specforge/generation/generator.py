"""The generator: lines of text in, lines of text out, in their order, whatever they were decoded beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from specforge.data.vocabulary import Vocabulary
from specforge.foundation.errors import Place, WrongInputError
from specforge.generation.batches import decoding_batches
from specforge.searches.scorer import Scorer
from specforge.searches.search import Hypothesis, Search, Sources
from specforge.tokenizers.tokenizer import Tokenizer

_NOTHING: Final = Hypothesis(tokens=(), score=0.0, token_scores=())
_LINE_ENDS: Final = str.maketrans("\n\r", "  ")

Done: TypeAlias = Callable[[int], None]
"""Told how many sentences are done, after each batch."""

Where: TypeAlias = Callable[[int], Place]
"""From the number of a sentence, from 0, to where the user finds it."""


@dataclass(frozen=True, slots=True)
class Translation:
    """What became of a line.

    Args:
        source: the line.
        text: its translation; never holds a line end.
        pieces: the translation before the tokenizer joined it.
        score: what the search ranked it by.
        unknown: pieces of the source that are not in the vocabulary.
    """

    source: str
    text: str
    pieces: tuple[str, ...]
    score: float
    unknown: int


def _in_the_input(number: int) -> Place:
    return Place("input", number + 1)


class Generator:
    """Decodes with a trained model.

    Args:
        scorer: of models on `device`; their modes are put back afterwards.
        search: how to find outputs.
        vocabularies: of the roles `source` and `target`.
        tokenizer: trained.
        batch_tokens: source tokens decoded at once, padding counted; changes no result.
        device: where to compute.
    """

    def __init__(
        self,
        scorer: Scorer,
        search: Search,
        vocabularies: Mapping[str, Vocabulary],
        tokenizer: Tokenizer,
        batch_tokens: int,
        device: torch.device,
    ) -> None:
        self._scorer = scorer
        self._search = search
        self._source = vocabularies["source"]
        self._target = vocabularies["target"]
        self._tokenizer = tokenizer
        self._batch_tokens = batch_tokens
        self._device = device

    def generate(
        self, sources: Sequence[NDArray[np.integer]], done: Done | None = None, where: Where = _in_the_input
    ) -> list[list[Hypothesis]]:
        """Decode token indices.

        Args:
            sources: [length] of each sentence, EOS at the end. One that is nothing but EOS is not decoded.
            done: called after each batch.
            where: names a sentence in an error.

        Returns:
            The hypotheses of each sentence, best first, at least one; an empty one for an empty sentence.

        Raises:
            WrongInputError: SF506, a sentence is longer than the model's positions.
        """
        lengths = [len(source) for source in sources]
        self._check_lengths(lengths, where)
        found = [[_NOTHING] for _ in sources]
        filled = [number for number, length in enumerate(lengths) if length > 1]
        finished = len(sources) - len(filled)
        with _evaluating(self._scorer.models()):
            for batch in decoding_batches([lengths[number] for number in filled], self._batch_tokens):
                numbers = [filled[place] for place in batch]
                padded, real = self._padded([sources[number] for number in numbers])
                hypotheses = self._search.search(self._scorer, Sources(padded, real), self._target.symbols)
                for number, best_first in zip(numbers, hypotheses, strict=True):
                    found[number] = best_first
                finished += len(numbers)
                if done is not None:
                    done(finished)
        return found

    def translate(
        self, lines: Sequence[str], done: Done | None = None, where: Where = _in_the_input
    ) -> list[Translation]:
        """Translate lines of text; a blank line becomes an empty one.

        Args:
            lines: without line ends.
            done: called after each batch.
            where: names a line in an error.

        Raises:
            WrongInputError: SF506, a line is longer than the model's positions.
        """
        eos, unk = self._source.symbols.eos, self._source.symbols.unk
        cut = self._tokenizer.encode("source", ["" if line.isspace() else line for line in lines])
        indices = [self._source.encode(pieces) for pieces in cut]
        sources = [np.array([*sentence, eos], dtype=np.int64) for sentence in indices]
        found = self.generate(sources, done, where)
        return [
            self._translation(line, hypotheses[0], sentence.count(unk))
            for line, hypotheses, sentence in zip(lines, found, indices, strict=True)
        ]

    def text(self, hypothesis: Hypothesis) -> str:
        """Return the line of text that a hypothesis stands for; a line end in it becomes a space."""
        return self._joined(self._target.pieces(hypothesis.tokens))

    def _translation(self, line: str, hypothesis: Hypothesis, unknown: int) -> Translation:
        pieces = self._target.pieces(hypothesis.tokens)
        return Translation(line, self._joined(pieces), tuple(pieces), hypothesis.score, unknown)

    def _joined(self, pieces: Sequence[str]) -> str:
        # Pieces that are bytes can spell any character; one line for each line is what every reader relies on.
        return self._tokenizer.decode("target", pieces).translate(_LINE_ENDS)

    def _check_lengths(self, lengths: Sequence[int], where: Where) -> None:
        longest = self._scorer.max_positions().get("source")
        if longest is None:
            return
        too_long = [number for number, length in enumerate(lengths) if length > longest]
        if not too_long:
            return
        first, *others = too_long
        raise WrongInputError(
            "SF506",
            f"a line of {lengths[first]:,} tokens, the end counted, is more than the model's {longest:,} positions",
            place=where(first),
            notes=(f"{len(too_long):,} lines are too long, the next at {where(others[0])}",) if others else (),
            help="split the line: nothing is cut off silently",
        )

    def _padded(self, sources: Sequence[NDArray[np.integer]]) -> tuple[Tensor, Tensor]:
        """Return sources as [sentences, length], padded on the right, and their lengths [sentences]."""
        lengths = [len(source) for source in sources]
        padded = np.full((len(sources), max(lengths)), self._source.symbols.pad, dtype=np.int64)
        for row, source in zip(padded, sources, strict=True):
            row[: len(source)] = source
        return torch.from_numpy(padded).to(self._device), torch.tensor(lengths, device=self._device)


@contextmanager
def _evaluating(models: Sequence[nn.Module]) -> Iterator[None]:
    """Put models into evaluation mode, without gradients, and leave them as they were.

    Not inference mode: validation decodes between two updates, and what models cache meanwhile must serve both. A
    process that never trains is free to call us inside of it.
    """
    training = [model.training for model in models]
    for model in models:
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for model, before in zip(models, training, strict=True):
            model.train(before)
