"""Reranking by a second model: how probable does it find each output, or the source given the output?

The score is that of the search + `weight` x the mean log-probability per token by the second model. With `reverse` the second
model translates back, and this is a noisy channel.

Source: Yee et al. 2019, "Simple and Effective Noisy Channel Modeling for Neural Machine Translation"; the second model
scores whole outputs here, once they are found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from specforge.data.memory_lines import MemoryLines
from specforge.generation.reranking.reranker import Candidate, Reranker
from specforge.generation.target_scores import TargetScorer

Encode: TypeAlias = Callable[[str, Sequence[str]], list[list[int]]]
"""From a role and lines to their token indices by the second model's tokenizer, EOS at the end of each."""


class SecondModelReranker(Reranker):
    """A second model has its say.

    Args:
        scorer: of the second model.
        encode: cuts lines for it.
        max_positions: the longest `source` and `target` that it takes; a role not named has no limit.
        weight: what it counts beside the score of the search.
        reverse: whether it translates back: the outputs are its sources.
    """

    def __init__(
        self, scorer: TargetScorer, encode: Encode, max_positions: Mapping[str, int], weight: float, *, reverse: bool
    ) -> None:
        self._scorer = scorer
        self._encode = encode
        self._max_positions = max_positions
        self._weight = weight
        self._reverse = reverse

    def scores(self, sources: Sequence[str], candidates: Sequence[Sequence[Candidate]]) -> list[list[float]]:
        """Return the score of the search and what the second model adds to it."""
        here = [line for line, found in zip(sources, candidates, strict=True) for _ in found]
        there = [candidate.text for found in candidates for candidate in found]
        means = iter(self._means(*((there, here) if self._reverse else (here, there))))
        return [self._added(found, [next(means) for _ in found]) for found in candidates]

    def _added(self, found: Sequence[Candidate], means: Sequence[float | None]) -> list[float]:
        """Return the new scores; a text that is too long for the second model counts as the worst of its sentence."""
        worst = min((mean for mean in means if mean is not None), default=0.0)
        pairs = zip(found, means, strict=True)
        return [each.score + self._weight * (worst if mean is None else mean) for each, mean in pairs]

    def _means(self, sources: Sequence[str], targets: Sequence[str]) -> list[float | None]:
        """Return the mean log-probability per token of each target, None where a side is too long."""
        encoded = {"source": self._encode("source", sources), "target": self._encode("target", targets)}
        fits = [
            all(
                len(lines[number]) <= self._max_positions.get(role, len(lines[number]))
                for role, lines in encoded.items()
            )
            for number in range(len(sources))
        ]
        lines = MemoryLines("source", "target")
        lines.append(
            {role: [line for line, fit in zip(each, fits, strict=True) if fit] for role, each in encoded.items()}
        )
        scored = iter(self._scorer.token_scores(lines))
        return [_mean(next(scored)) if fit else None for fit in fits]


def _mean(scores: NDArray[np.float64]) -> float:
    return float(scores.mean())
