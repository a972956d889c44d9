"""A language model that has a say in what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from specforge.generation.scorers.combined_state import CombinedState
from specforge.models.model import DecodingState, LanguageModel
from specforge.searches.scorer import Scorer, log_probabilities


class FusionScorer(Scorer):
    """Shallow fusion: log p(next | source, prefix) + weight x log p_lm(next | prefix), the end of sentence included.

    Source: Gulcehre et al. 2015, section 4.1, as fairseq's `--lm-weight`. What it returns is a score and no longer a
    distribution: its exponentials do not sum to 1.

    Args:
        scorer: looks at the source.
        language_model: of the target vocabulary; knows the prefix alone.
        weight: of its logarithms.
    """

    def __init__(self, scorer: Scorer, language_model: LanguageModel, weight: float) -> None:
        self._scorer = scorer
        self._language_model = language_model
        self._weight = weight

    def models(self) -> Sequence[nn.Module]:
        """Return the scorer's models and the language model."""
        return (*self._scorer.models(), self._language_model)

    def max_positions(self) -> Mapping[str, int]:
        """Return those of the scorer; no target is longer than the language model's texts."""
        longest = self._shorter(self._scorer.max_positions().get("target"))
        return {**self._scorer.max_positions(), **({} if longest is None else {"target": longest})}

    def longest_target(self, source_length: int) -> int | None:
        """Return the longest target that both can score; see the base class."""
        return self._shorter(self._scorer.longest_target(source_length))

    def _shorter(self, target: int | None) -> int | None:
        """Return the shorter one of a target and the language model's texts; None for no limit."""
        text = self._language_model.max_positions().get("text")
        return min((longest for longest in (text, target) if longest is not None), default=None)

    def start(self, source: Tensor, lengths: Tensor, beam: int, *, attention: bool = False) -> DecodingState:
        """Take in sources; the language model begins with nothing. See the base class."""
        nothing = source.new_empty(len(source), 0)
        return CombinedState(
            (
                self._scorer.start(source, lengths, beam, attention=attention),
                self._language_model.start(nothing, lengths.new_zeros(len(lengths)), beam),
            )
        )

    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        """Return the sum of both; see the base class."""
        assert isinstance(state, CombinedState)
        translating, telling = state.states
        fluent = log_probabilities(self._language_model.step(tokens, telling))
        return self._scorer.step(tokens, translating).add_(fluent, alpha=self._weight)
