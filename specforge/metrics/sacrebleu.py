"""What the metrics of the library sacrebleu have in common: one call, one score with its signature.

The library takes a third of a second to import, so its metrics are made when something is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from specforge.metrics.metric import Metric, Score


class Result(Protocol):
    """What sacrebleu returns: the figure, and its own way to print it with `str`."""

    name: str
    score: float
    _mean: float
    _ci: float


class Scorer(Protocol):
    """A metric object of sacrebleu. It notes the number of references while it scores, for its signature."""

    def corpus_score(
        self, hypotheses: Sequence[str], references: Sequence[Sequence[str]], n_bootstrap: int = 1
    ) -> Result:
        """Return the score of a corpus; with a bootstrap, its interval, too."""

    def get_signature(self) -> object:
        """Return the signature, printed with `str`."""


ScorerFactory: TypeAlias = Callable[[], Scorer]


class SacrebleuMetric(Metric):
    """A metric of sacrebleu.

    Args:
        name: what the score is called in our files.
        higher_is_better: direction.
        scorer: makes the metric object; the place to import sacrebleu.
    """

    def __init__(self, name: str, scorer: ScorerFactory, *, higher_is_better: bool) -> None:
        self.higher_is_better = higher_is_better
        self._name = name
        self._scorer = scorer

    def scorer(self) -> Scorer:
        """Return a new metric object of sacrebleu with this metric's options."""
        return self._scorer()

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Return sacrebleu's corpus score.

        The signature starts with sacrebleu's name of the score, as its command line prints it: chrF's β stands nowhere else.

        Raises:
            ValueError: nothing to score, or another number of references; sacrebleu would score the shorter part.
        """
        if not hypotheses or not references or any(len(lines) != len(hypotheses) for lines in references):
            message = f"{len(hypotheses)} hypotheses, references {[len(lines) for lines in references]}"
            raise ValueError(message)
        scorer = self._scorer()
        result = scorer.corpus_score(hypotheses, references)
        return Score(
            name=self._name,
            value=float(result.score),
            signature=f"{result.name}|{scorer.get_signature()}",
            higher_is_better=self.higher_is_better,
            text=str(result),
        )

    def bootstrapped(
        self, hypotheses: Sequence[str], references: Sequence[Sequence[str]], resamples: int
    ) -> tuple[float, float]:
        """Return sacrebleu's mean score of bootstrap resamples, and half the width of their 95 % interval."""
        result = self._scorer().corpus_score(hypotheses, references, n_bootstrap=resamples)
        return float(result._mean), float(result._ci)  # noqa: SLF001  # elsewhere it has them rounded to two places
