"""Exact match: how often the output is its reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from specforge.metrics.exact_match.config import ExactMatchConfig
from specforge.metrics.metric import Metric, Score

_VERSION: Final = 1


class ExactMatch(Metric):
    """Percentage of hypotheses that equal one of their references, nothing stripped and nothing folded."""

    name: ClassVar[str] = "exact_match"

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Return the percentage.

        Raises:
            ValueError: nothing to score, or another number of references.
        """
        if not hypotheses or not references:
            message = "nothing to score"
            raise ValueError(message)
        hits = sum(score > 0 for score in self.sentence_scores(hypotheses, references))
        value = 100.0 * hits / len(hypotheses)
        return Score(
            name=self.name,
            value=value,
            signature=f"{self.name}|nrefs:{len(references)}|version:{_VERSION}",
            higher_is_better=self.higher_is_better,
            text=f"{self.name} = {value:.2f} ({hits}/{len(hypotheses)})",
        )

    def sentence_scores(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Sequence[float]:
        """Return 100 for each hypothesis that equals one of its references, else 0."""
        pairs = zip(hypotheses, zip(*references, strict=True), strict=True)
        return [100.0 if hypothesis in accepted else 0.0 for hypothesis, accepted in pairs]


def build(config: ExactMatchConfig) -> Metric:
    """Return the metric."""
    del config
    return ExactMatch()
