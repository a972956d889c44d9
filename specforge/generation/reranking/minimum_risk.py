"""Minimum Bayes risk: the output that is most like all the others wins, in place of the most probable one.

The score of an output is its expected utility: the mean of a metric of it against every output of the list as the reference,
itself among them. Over samples of the model that is an estimate of what the output is worth by the model's own belief; over
the n best of a beam each may count by its probability, as it is renormalised over the list.

Source: Kumar & Byrne 2004 (n-best lists); Eikema & Aziz 2020, "Is MAP Decoding All You Need?" (samples).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import exp
from typing import Literal, Protocol, TypeAlias, cast

from specforge.generation.reranking.reranker import Candidate, Reranker
from specforge.metrics.sacrebleu import Result

Utility: TypeAlias = Callable[[str, str], float]
"""From an output and a reference to how good it is, higher being better."""

UtilityName: TypeAlias = Literal["chrf", "bleu", "ter"]


class _SentenceMetric(Protocol):
    """A metric object of sacrebleu."""

    def sentence_score(self, hypothesis: str, references: Sequence[str]) -> Result:
        """Return the score of a sentence."""


class MinimumRisk(Reranker):
    """Scores outputs by their expected utility.

    Args:
        utility: what an output is worth where another one is right.
        weigh_by: `count`: every output of the list counts once; `probability`: as much as the model believes in it.
    """

    def __init__(self, utility: Utility, weigh_by: Literal["count", "probability"]) -> None:
        self._utility = utility
        self._weigh_by = weigh_by

    def scores(self, sources: Sequence[str], candidates: Sequence[Sequence[Candidate]]) -> list[list[float]]:
        """Return the expected utility of each candidate, in points of the metric."""
        del sources
        return [self._expected(found) for found in candidates]

    def _expected(self, found: Sequence[Candidate]) -> list[float]:
        weights = self._weights(found)
        expected: dict[str, float] = {}
        for text in dict.fromkeys(candidate.text for candidate in found):
            parts = (weight * self._utility(text, reference) for reference, weight in weights.items())
            expected[text] = sum(parts)
        return [expected[candidate.text] for candidate in found]

    def _weights(self, found: Sequence[Candidate]) -> Mapping[str, float]:
        """Return how much each text counts as a reference; the weights sum up to 1."""
        if self._weigh_by == "count":
            return {text: count / len(found) for text, count in Counter(each.text for each in found).items()}
        best = max(each.logprob for each in found)
        weights: dict[str, float] = {}
        for each in found:
            weights[each.text] = weights.get(each.text, 0.0) + exp(each.logprob - best)
        total = sum(weights.values())
        return {text: weight / total for text, weight in weights.items()}


def sacrebleu_utility(name: UtilityName) -> Utility:
    """Return a metric of sacrebleu for single sentences, with its default options; TER counts downwards.

    BLEU takes the n-gram orders that a sentence has (`effective_order`), as sacrebleu itself does for sentences.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    makers: dict[UtilityName, Callable[[], object]] = {
        "bleu": partial(BLEU, effective_order=True),
        "chrf": CHRF,
        "ter": TER,
    }
    metric = cast("_SentenceMetric", makers[name]())
    sign = -1.0 if name == "ter" else 1.0

    def utility(hypothesis: str, reference: str) -> float:
        return sign * float(metric.sentence_score(hypothesis, [reference]).score)

    return utility
