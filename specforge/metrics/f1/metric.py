"""Macro F1: precision and recall of every label, rare ones counting as much as frequent ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

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

    def resampled(
        self, hypotheses: Sequence[str], references: Sequence[Sequence[str]], samples: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the score of each resample, [resamples], over the labels that occur in it."""
        numbers = {label: number for number, label in enumerate(sorted({*hypotheses, *references[0]}))}
        predicted, there = (
            np.array([numbers[label] for label in labels], np.int64) for labels in (hypotheses, references[0])
        )
        scores = np.empty(len(samples))
        for row, sample in enumerate(samples):
            hits = sample[predicted[sample] == there[sample]]
            right, found, wanted = (
                np.bincount(labels, minlength=len(numbers))
                for labels in (there[hits], predicted[sample], there[sample])
            )
            occurs = found + wanted > 0
            scores[row] = 100.0 * np.mean(2 * right[occurs] / (found + wanted)[occurs])
        return scores


def build(config: F1Config) -> Metric:
    """Return the metric."""
    del config
    return MacroF1()
