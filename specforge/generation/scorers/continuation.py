"""A language model that goes on with what is given: the source is how a text begins, the target how it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from specforge.models.model import DecodingState, LanguageModel
from specforge.searches.scorer import Scorer, log_probabilities


class ContinuationState(DecodingState):
    """The state of the language model, and until the first step what it is still to be given.

    Args:
        inner: of the language model.
        last: [rows] the last symbol of each beginning.
    """

    def __init__(self, inner: DecodingState, last: Tensor) -> None:
        self.inner = inner
        self.last: Tensor | None = last

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        """Reorder and drop, in place; see the base class."""
        self.inner.select(rows, sentences)
        self.last = None if self.last is None else self.last[rows]


class ContinuationScorer(Scorer):
    """Says how texts go on that begin with the source.

    All but the last symbol of a beginning are taken in at once; that one takes the place of the EOS that searches begin with,
    which in a text stands before the first symbol of all.

    Args:
        language_model: knows source and target as one text.
    """

    def __init__(self, language_model: LanguageModel) -> None:
        self._language_model = language_model

    def models(self) -> Sequence[nn.Module]:
        """Return the language model."""
        return (self._language_model,)

    def max_positions(self) -> Mapping[str, int]:
        """Return the length of the model's texts for both: the source leaves what it does not take."""
        longest = self._longest_text()
        return {} if longest is None else dict.fromkeys(("source", "target"), longest)

    def longest_target(self, source_length: int) -> int | None:
        """Return what the source leaves of the model's positions; see the base class."""
        longest = self._longest_text()
        # EOS, the beginning and what follows are read, EOS at the end is not: one EOS is counted on each side
        return None if longest is None else longest - source_length + 1

    def start(self, source: Tensor, lengths: Tensor, beam: int, *, attention: bool = False) -> DecodingState:
        """Take in the beginnings; see the base class. Nobody knows what a step looks at."""
        del attention
        text = source.roll(1, dims=1)
        text[:, 0] = source.gather(1, lengths[:, None] - 1)[:, 0]  # EOS, which ends a source, stands before a text
        last = text.gather(1, lengths[:, None] - 1)[:, 0]  # [sentences]
        inner = self._language_model.start(text[:, :-1], lengths - 1, beam)
        return ContinuationState(inner, last.repeat_interleave(beam))

    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        """Return the language model's log-probabilities; see the base class."""
        assert isinstance(state, ContinuationState)
        given = tokens if state.last is None else state.last
        state.last = None
        return log_probabilities(self._language_model.step(given, state.inner))

    def _longest_text(self) -> int | None:
        return self._language_model.max_positions().get("text")
