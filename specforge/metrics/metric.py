"""The contract of metrics: finished text in, a score with its signature out. Free of torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """One score.

    Args:
        name: what it is called (`bleu`).
        value: the figure, in the metric's usual unit (BLEU in points of 100, exact_match in percent).
        signature: everything that makes two values comparable (sacrebleu's signature, or our own).
        higher_is_better: direction.
        text: the score as the metric's own tool prints it.
    """

    name: str
    value: float
    signature: str
    higher_is_better: bool
    text: str


class Metric(ABC):
    """Scores hypotheses against references."""

    higher_is_better: bool = True

    @abstractmethod
    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Return the corpus score.

        Args:
            hypotheses: one line for each input.
            references: one or more sets of references, each with one line for each input.
        """

    def sentence_scores(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Sequence[float] | None:
        """Return a score for each sentence, with the corpus score as their mean; None where there is no such thing.

        With them, the significance of a difference can be told (`specforge.metrics.significance`).

        Args:
            hypotheses: as for `score`.
            references: as for `score`.
        """
        del hypotheses, references
        return None
