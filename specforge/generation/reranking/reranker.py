"""The contract of rerankers: what a search found comes in, a score for each output goes out, and the best one wins."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """An output that a search found.

    Args:
        text: the output as a line.
        score: what the search ranked it by.
        logprob: its log-probability, in nats.
    """

    text: str
    score: float
    logprob: float


class Reranker(ABC):
    """Scores what a search found anew. What a sentence gets does not depend on its neighbours."""

    @abstractmethod
    def scores(self, sources: Sequence[str], candidates: Sequence[Sequence[Candidate]]) -> list[list[float]]:
        """Return the new score of each candidate, higher being better.

        Args:
            sources: lines that were decoded.
            candidates: of each source, best first, at least one.
        """
