"""Accuracy: how often the label is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from specforge.metrics.accuracy.config import AccuracyConfig
from specforge.metrics.exact_match.metric import ExactMatch
from specforge.metrics.metric import Metric, Score

_VERSION: Final = 1


class Accuracy(ExactMatch):
    """Percentage of labels that equal the reference: an exact match, by the name that classification has for it."""

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Return the percentage.

        Raises:
            ValueError: nothing to score, or another number of references.
        """
        if not hypotheses or not references:
            message = "nothing to score"
            raise ValueError(message)
        right = sum(score > 0 for score in self.sentence_scores(hypotheses, references))
        value = 100.0 * right / len(hypotheses)
        return Score(
            name="accuracy",
            value=value,
            signature=f"accuracy|nrefs:{len(references)}|version:{_VERSION}",
            higher_is_better=self.higher_is_better,
            text=f"accuracy = {value:.2f} ({right}/{len(hypotheses)})",
        )


def build(config: AccuracyConfig) -> Metric:
    """Return the metric."""
    del config
    return Accuracy()
