"""Continuations of prefixes: which are the best, and which go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from specforge.searches.best_symbols import best_symbols


@dataclass(frozen=True, slots=True)
class Candidates:
    """Continuations of the prefixes of each beam, in the order in which they are considered.

    Args:
        rows: [beams, candidates] the prefix that is continued, counted over the whole batch.
        tokens: [beams, candidates] the symbol it is continued with.
        scores: [beams, candidates] the sum of what is ranked by; -inf where there is no candidate.
    """

    rows: Tensor
    tokens: Tensor
    scores: Tensor

    def changed(self, change: Callable[[Tensor], Tensor]) -> Candidates:
        """Return others of them, or in another order."""
        return Candidates(change(self.rows), change(self.tokens), change(self.scores))


def best_continuations(sums: Tensor, values: Tensor, sibling_penalty: float = 0.0) -> Candidates:
    """Return the best 2 x width continuations of each beam, best first.

    They are twice as many as its prefixes: each has one way to end, so at least `width` of them do not end.

    Args:
        sums: [beams, width] of each prefix; -inf where there is no prefix.
        values: [beams x width, vocabulary] what each symbol adds; -inf for what is ruled out.
        sibling_penalty: taken from the second choice of a prefix, twice from the third, and so on.
    """
    beams, width = sums.shape
    # Of one prefix, at most `width` continuations and its end can matter: no need to rank the whole matrix.
    best, symbols = best_symbols(values, min(width + 1, values.shape[1]))  # [beams x width, few]
    few = best.shape[1]
    if sibling_penalty:
        best = best - sibling_penalty * torch.arange(few, device=best.device)
    totals = (best.view(beams, width, few) + sums[:, :, None]).flatten(1)
    scores, picked = totals.topk(min(2 * width, width * few), dim=1)  # [beams, candidates]
    first_rows = torch.arange(beams, device=scores.device)[:, None] * width
    return Candidates(
        rows=first_rows + picked.div(few, rounding_mode="floor"),
        tokens=symbols.view(beams, -1).gather(1, picked),
        scores=scores,
    )


def going_on(candidates: Candidates, width: int, ends: Tensor | None) -> Candidates:
    """Return the first `width` candidates of each beam that do not end, [beams, width].

    Args:
        candidates: at least `width` of each beam do not end.
        width: how many go on.
        ends: [beams, candidates] of bool: which end; None where none does.
    """
    if ends is None:
        return candidates.changed(lambda values: values[:, :width])
    order = ends.to(torch.int8).argsort(dim=1, stable=True)[:, :width]
    return candidates.changed(lambda values: values.gather(1, order))


def none_for(candidates: Candidates, beams: Tensor | None, eos: int) -> Candidates:
    """Return candidates, without those of some beams and with a symbol that every model knows where there is none.

    Args:
        candidates: of each beam.
        beams: [beams] of bool: those that are done; None where none is.
        eos: the symbol.
    """
    scores = candidates.scores if beams is None else candidates.scores.masked_fill(beams[:, None], -inf)
    return Candidates(candidates.rows, candidates.tokens.masked_fill(scores == -inf, eos), scores)
