"""From a hypothesis to text: its pieces joined, unknown ones replaced, and what they look at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from specforge.data.vocabulary import Vocabulary
from specforge.foundation.errors import WrongInputError
from specforge.generation.alignment import aligned_pieces, aligned_words, word_numbers
from specforge.generation.lines import LINE_ENDS
from specforge.generation.translation import Alignment, Output, Wanted
from specforge.searches.search import Hypothesis
from specforge.tokenizers.tokenizer import Tokenizer


class Renderer:
    """Makes outputs of hypotheses.

    Args:
        vocabulary: of the target.
        tokenizer: trained.
        wanted: what outputs hold.
    """

    def __init__(self, vocabulary: Vocabulary, tokenizer: Tokenizer, wanted: Wanted) -> None:
        self._vocabulary = vocabulary
        self._tokenizer = tokenizer
        self._wanted = wanted

    def output(self, hypothesis: Hypothesis, source: Sequence[str]) -> Output:
        """Return a hypothesis as text.

        Args:
            hypothesis: found for the source.
            source: its pieces.

        Raises:
            WrongInputError: SF721, attention is needed and there is none.
        """
        shown = [place for place, token in enumerate(hypothesis.tokens) if self._vocabulary.pieces([token])]
        tokens = [hypothesis.tokens[place] for place in shown]
        pieces = self._vocabulary.pieces(tokens)
        attention = self._attention(hypothesis, shown, len(source)) if self.needs_attention else None
        if attention is not None and self._wanted.replace_unk:
            unk = self._vocabulary.symbols.unk
            for place, token in enumerate(tokens):
                if token == unk:
                    pieces[place] = source[int(attention[place].argmax())]
        return Output(
            text=self.text([*source, *pieces] if self._wanted.continued else pieces),
            pieces=tuple(pieces),
            score=hypothesis.score,
            token_scores=_of_shown(hypothesis.token_scores, shown),
            alignment=None if attention is None else self._alignment(attention, source, pieces),
        )

    def source_units(self, source: Sequence[str]) -> int:
        """Return how many units the pieces of a source are, of those that are aligned."""
        return self._word_numbers("source", source)[-1] + 1 if self._wanted.alignment == "words" else len(source)

    def target_units(self, output: Output) -> int:
        """Return how many units an output has, of those that are aligned."""
        return len(output.text.split()) if self._wanted.alignment == "words" else len(output.pieces)

    def text(self, pieces: Sequence[str]) -> str:
        """Return the line of text that pieces stand for; a line end in it becomes a space."""
        # Pieces that are bytes can spell any character; one line for each line is what every reader relies on.
        return self._tokenizer.decode("target", pieces).translate(LINE_ENDS)

    @property
    def needs_attention(self) -> bool:
        """Whether hypotheses must say what they look at."""
        return self._wanted.replace_unk or self._wanted.alignment is not None

    def _attention(self, hypothesis: Hypothesis, shown: Sequence[int], source: int) -> NDArray[np.float32]:
        """Return what the pieces look at, [pieces, source pieces], without the ends of both."""
        if hypothesis.attention is None:
            if shown:
                raise _no_attention()
            return np.zeros((0, source), np.float32)
        return hypothesis.attention[shown, :source]

    def _alignment(
        self, attention: NDArray[np.float32], source: Sequence[str], pieces: Sequence[str]
    ) -> Alignment | None:
        if self._wanted.alignment is None:
            return None
        if not pieces:
            return ()
        if self._wanted.alignment == "pieces":
            return aligned_pieces(attention)
        return aligned_words(attention, self._word_numbers("source", source), self._word_numbers("target", pieces))

    def _word_numbers(self, role: str, pieces: Sequence[str]) -> list[int]:
        return word_numbers(partial(self._tokenizer.decode, role), pieces)


def _no_attention() -> WrongInputError:
    return WrongInputError(
        "SF721",
        "what the model looks at is not known: it has no attention to its source, or the search does not keep it",
        help="leave out the alignment, and `replace_unk`",
    )


def _of_shown(token_scores: tuple[float, ...], shown: Sequence[int]) -> tuple[float, ...]:
    """Return the scores of the symbols that are shown, and of the end; none where the search knows none."""
    return tuple(token_scores[place] for place in shown) + token_scores[-1:] if token_scores else ()
