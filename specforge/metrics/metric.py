"""The contract of metrics: finished text in, a score with its signature out. Free of torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a score lies on other texts of the same kind, by bootstrap resampling (`specforge.metrics.confidence`).

    Args:
        mean: mean score of the resamples.
        margin: half the width of what `confidence` of the resamples score, to either side of the mean.
        confidence: share of the resamples inside, 0 to 1.
        resamples: how many were drawn.
        seed: what they were drawn by.
    """

    mean: float
    margin: float
    confidence: float
    resamples: int
    seed: int


@dataclass(frozen=True, slots=True)
class Score:
    """One score.

    Args:
        name: what it is called (`bleu`).
        value: the figure, in the metric's usual unit (BLEU in points of 100, exact_match in percent).
        signature: everything that makes two values comparable (sacrebleu's signature, or our own).
        higher_is_better: direction.
        text: the score as the metric's own tool prints it.
        interval: its confidence interval, where one was asked for.
    """

    name: str
    value: float
    signature: str
    higher_is_better: bool
    text: str
    interval: Interval | None = None


class Metric(ABC):
    """Scores hypotheses against references."""

    higher_is_better: bool = True

    def with_sources(self, sources: Sequence[str]) -> Self:
        """Return the metric for outputs of these sources; the metric itself, unless it looks at sources.

        Its config says so (`MetricConfig.needs_sources`), and only then this is called, before anything is scored.

        Args:
            sources: one line for each line that will be scored.
        """
        del sources
        return self

    @abstractmethod
    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Return the corpus score.

        Args:
            hypotheses: one line for each input.
            references: one or more sets of references, each with one line for each input.
        """

    def sentence_scores(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Sequence[float] | None:
        """Return a score for each sentence, with the corpus score as their mean; None where there is no such thing.

        With them, confidence and significance can be told (`resampled`).

        Args:
            hypotheses: as for `score`.
            references: as for `score`.
        """
        del hypotheses, references
        return None

    def resampled(
        self, hypotheses: Sequence[str], references: Sequence[Sequence[str]], samples: NDArray[np.int64]
    ) -> NDArray[np.float64] | None:
        """Return the corpus score of resamples, [resamples]; None where it cannot be told without scoring each anew.

        With them, the confidence interval of a score and the significance of a difference can be told.

        Args:
            hypotheses: as for `score`.
            references: as for `score`.
            samples: [resamples, size] numbers of sentences.
        """
        scores = self.sentence_scores(hypotheses, references)
        return None if scores is None else np.array([np.mean(np.asarray(scores)[sample]) for sample in samples])
