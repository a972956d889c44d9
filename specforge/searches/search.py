"""The contract of searches: sources in, hypotheses out, whatever stands beside them in the batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from specforge.models.model import EncoderDecoder
from specforge.plugin import Symbols


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A finished output.

    Args:
        tokens: symbols without the end of sentence.
        score: what hypotheses are ranked by, in nats.
        token_scores: log-probability of each symbol, the end of sentence last, in nats.
    """

    tokens: tuple[int, ...]
    score: float
    token_scores: tuple[float, ...]


class Search(ABC):
    """A way to find good outputs. What a sentence gets does not depend on its neighbours."""

    @abstractmethod
    def search(
        self, model: EncoderDecoder, source: Tensor, lengths: Tensor, symbols: Symbols
    ) -> list[list[Hypothesis]]:
        """Decode a batch.

        Args:
            model: in evaluation mode.
            source: [sentences, source length] of int64, padded on the right.
            lengths: [sentences] of int64, EOS counted.
            symbols: the target vocabulary.

        Returns:
            For each sentence its hypotheses, best first, at least one.
        """
