"""The contract of searches: sources in, hypotheses out, whatever stands beside them in the batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from specforge.plugin import Symbols
from specforge.searches.scorer import Scorer


@dataclass(frozen=True, slots=True)
class Constraints:
    """What the output of a sentence must hold.

    Args:
        prefix: symbols that it begins with.
        phrases: runs of symbols that stand somewhere in it.
    """

    prefix: tuple[int, ...] = ()
    phrases: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """Sentences that are decoded together.

    Args:
        tokens: [sentences, source length] of int64, padded on the right.
        lengths: [sentences] of int64, EOS counted.
        constraints: of each sentence; empty where there are none.
    """

    tokens: Tensor
    lengths: Tensor
    constraints: Sequence[Constraints] = ()

    def __len__(self) -> int:
        """Return the number of sentences."""
        return len(self.lengths)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A finished output.

    Args:
        tokens: symbols without the end of sentence.
        score: what hypotheses are ranked by, in nats.
        token_scores: log-probability of each symbol, the end of sentence last, in nats.
        attention: [symbols + 1, source length] how much each symbol, the end last, looked at each source symbol, EOS
            counted; None where nobody asked, or nobody knows.
    """

    tokens: tuple[int, ...]
    score: float
    token_scores: tuple[float, ...]
    attention: NDArray[np.float32] | None = field(default=None, compare=False)


class Search(ABC):
    """A way to find good outputs. What a sentence gets does not depend on its neighbours."""

    @property
    def prefixes(self) -> int:
        """How many prefixes of a sentence are looked at together: what a batch costs."""
        return 1

    @abstractmethod
    def search(
        self, scorer: Scorer, sources: Sources, symbols: Symbols, *, attention: bool = False
    ) -> list[list[Hypothesis]]:
        """Decode sentences.

        Args:
            scorer: says how probable each next symbol is.
            sources: the sentences.
            symbols: the target vocabulary.
            attention: whether hypotheses say what they looked at.

        Returns:
            For each sentence its hypotheses, best first, at least one.

        Raises:
            WrongInputError: SF686, constraints that this search cannot keep.
        """
