"""Macro F1: precision and recall of every label, rare ones counting as much as frequent ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from specforge.metrics.f1.config import F1Config
from specforge.metrics.metric import Metric, Score

_VERSION: Final = 1


class MacroF1(Metric):
    """The mean over labels of 2 · right / (predicted + there), in percent.

    The labels are those that occur in the references or the hypotheses, as scikit-learn's `f1_score(average="macro")` takes
    them; a label that is never right has 0.
    """

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Return the score.

        Raises:
            ValueError: nothing to score, or not one reference for each hypothesis.
        """
        if not hypotheses or len(references) != 1 or len(references[0]) != len(hypotheses):
            message = f"{len(hypotheses)} hypotheses, references {[len(lines) for lines in references]}"
            raise ValueError(message)
        predicted, there = Counter(hypotheses), Counter(references[0])
        right = Counter(one for one, other in zip(hypotheses, references[0], strict=True) if one == other)
        labels = {*predicted, *there}
        value = 100.0 * sum(2 * right[label] / (predicted[label] + there[label]) for label in labels) / len(labels)
        return Score(
            name="f1",
            value=value,
            signature=f"f1|average:macro|version:{_VERSION}",
            higher_is_better=self.higher_is_better,
            text=f"f1 = {value:.2f} (macro, {len(labels)} labels)",
        )


def build(config: F1Config) -> Metric:
    """Return the metric."""
    del config
    return MacroF1()
