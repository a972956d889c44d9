"""What finished hypotheses are ranked by, and what an open prefix can reach at most."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from specforge.searches.beam.config import PrefixesConfig


class Ranking:
    """Scores of hypotheses: sum / penalty(length) + coverage, the end counted in the length.

    Source: fairseq's lenpen; Wu et al. 2016 (GNMT), equation 14, for the other two penalties.

    Args:
        config: the penalties.
    """

    def __init__(self, config: PrefixesConfig) -> None:
        self._lenpen = config.lenpen if config.normalize else 0.0
        self._gnmt = config.lenpen_form == "gnmt"
        self._coverage = config.coverage_penalty
        self._only_falls = config.unkpen >= 0.0

    def scores(self, sums: Tensor, length: int, covered: Tensor | None = None) -> Tensor:
        """Return the scores of hypotheses of one length, [hypotheses] of float64.

        Args:
            sums: [hypotheses] of what was ranked by.
            length: symbols, end counted.
            covered: [hypotheses, source length] attention that each source symbol got from all symbols together; 1 where
                there is no source symbol.
        """
        scores = sums.double() / self._divisor(torch.tensor(length, dtype=torch.float64))
        if covered is None:
            return scores
        tiny = torch.finfo(covered.dtype).tiny  # what was never looked at is dear, and not impossible
        return scores + self._coverage * covered.double().clamp(min=tiny, max=1.0).log().sum(dim=1)

    def bound(self, sums: Tensor, length: int, longest: Tensor) -> Tensor:
        """Return what no hypothesis can exceed that has yet to grow out of a prefix, [prefixes] of float64.

        A symbol more never raises the sum, and no coverage is above 0; what is left is to choose the length that suits the
        sum best. That is the greatest one where long sums are divided by more, else the smallest.

        Args:
            sums: [prefixes].
            length: symbols of each; its end will be one more.
            longest: [prefixes] the most symbols that it may have before its end.
        """
        if not self._only_falls:
            return torch.full_like(sums, inf, dtype=torch.float64)
        lengths = longest.double() + 1.0 if self._lenpen >= 0.0 else torch.full_like(longest, length + 1).double()
        return sums.double() / self._divisor(lengths)

    def _divisor(self, lengths: Tensor) -> Tensor:
        return ((5.0 + lengths) / 6.0 if self._gnmt else lengths) ** self._lenpen
