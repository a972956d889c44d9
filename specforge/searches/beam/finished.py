"""Which beams are done: enough has ended, or what is open cannot win any more."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor


class Finished:
    """What is known of the hypotheses that each open beam has finished.

    Args:
        beams: their number.
        width: prefixes of each, and the most hypotheses wanted of it.
        keep_best: whether better hypotheses replace worse ones; else the first `width` count and no others.
        early_stop: whether only the best matters.
        device: of the search.
    """

    def __init__(self, beams: int, width: int, *, keep_best: bool, early_stop: bool, device: torch.device) -> None:
        self._width = width
        self._keep_best = keep_best
        self._early_stop = early_stop
        self._counts = torch.zeros(beams, dtype=torch.int64, device=device)
        self._best = torch.full((beams, width), -inf, dtype=torch.float64, device=device)  # the scores, best first

    @property
    def by_bound(self) -> bool:
        """Whether beams are done by what their prefixes can reach."""
        return self._keep_best or self._early_stop

    def accepted(self, ends: Tensor) -> Tensor:
        """Return which ends count, [beams, width] of bool.

        Args:
            ends: [beams, width] of bool: the candidates that end, best first.
        """
        if self._keep_best:
            return ends
        return ends & (self._counts[:, None] + ends.cumsum(dim=1) <= self._width)

    def add(self, beams: Tensor, scores: Tensor, ranks: Tensor) -> None:
        """Take in hypotheses.

        Args:
            beams: [ended] the beam of each.
            scores: [ended] of float64.
            ranks: [ended] the place of each among the candidates of its beam.
        """
        self._counts += torch.bincount(beams, minlength=len(self._counts))
        if self.by_bound:
            new = torch.full_like(self._best, -inf)
            new[beams, ranks] = scores
            self._best = torch.cat([self._best, new], dim=1).topk(self._width, dim=1).values

    def done(self, bound: Tensor | None) -> Tensor:
        """Return which beams need not go on, [beams] of bool.

        Args:
            bound: [beams] what their open prefixes can reach at most; None where nobody asks.
        """
        done = torch.zeros_like(self._counts, dtype=torch.bool) if self._keep_best else self._counts >= self._width
        if bound is None:
            return done
        # A later hypothesis of the same score is ranked behind: to be as good is not to win.
        return done | (self._best[:, 0 if self._early_stop else -1] >= bound)

    def keep(self, beams: Tensor) -> None:
        """Go on with some beams."""
        self._counts, self._best = self._counts[beams], self._best[beams]
