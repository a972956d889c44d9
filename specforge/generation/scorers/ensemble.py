"""Several models that answer together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log

import torch
from torch import Tensor, nn

from specforge.generation.scorers.combined_state import CombinedState
from specforge.models.model import DecodingState
from specforge.searches.scorer import Scorer


class EnsembleScorer(Scorer):
    """The mean of the probabilities that several scorers give, as in fairseq: log p = logsumexp(log p of each) - log(how many).

    Args:
        scorers: at least one; all have the same vocabularies.
    """

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        self._scorers = scorers

    def models(self) -> Sequence[nn.Module]:
        """Return the models of all."""
        return tuple(model for scorer in self._scorers for model in scorer.models())

    def max_positions(self) -> Mapping[str, int]:
        """Return what all of them can score."""
        limits: dict[str, int] = {}
        for scorer in self._scorers:
            for role, longest in scorer.max_positions().items():
                limits[role] = min(longest, limits.get(role, longest))
        return limits

    def longest_target(self, source_length: int) -> int | None:
        """Return the longest target that all of them can score; see the base class."""
        known = (scorer.longest_target(source_length) for scorer in self._scorers)
        return min((longest for longest in known if longest is not None), default=None)

    def start(self, source: Tensor, lengths: Tensor, beam: int, *, attention: bool = False) -> DecodingState:
        """Take in sources with each; see the base class."""
        return CombinedState([scorer.start(source, lengths, beam, attention=attention) for scorer in self._scorers])

    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        """Return the logarithm of the mean probability; see the base class."""
        assert isinstance(state, CombinedState)
        found = [scorer.step(tokens, part) for scorer, part in zip(self._scorers, state.states, strict=True)]
        return torch.logsumexp(torch.stack(found), dim=0) - log(len(found))
