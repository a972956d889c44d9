"""Diverse beam search (Vijayakumar et al. 2016) with Hamming diversity, by fairseq's rules.

The prefixes of a sentence form groups, each a beam by itself: its own candidates, its own finished hypotheses. At each step
the groups choose one after the other, and a symbol costs `strength` for each of the first candidates of the groups before
that says it. The costs stay in the sums that hypotheses are ranked by, as in fairseq; a group that is done costs the others
nothing any more.
"""

from __future__ import annotations

import torch
from torch import Tensor

from specforge.plugin import Symbols
from specforge.searches.beam.loop import PrefixSearch, Selector
from specforge.searches.beam.prefixes import Candidates, best_continuations
from specforge.searches.diverse_beam.config import DiverseBeamConfig
from specforge.searches.restrictions import Restrictions, refuse_phrases
from specforge.searches.search import Search, Sources


class DiverseBeamSearch(PrefixSearch):
    """Keeps `beam` prefixes of each sentence in `groups` beams."""

    def __init__(self, config: DiverseBeamConfig) -> None:
        super().__init__(config, beams=config.groups)
        self._config = config

    def selector(self, sources: Sources, symbols: Symbols, rules: Restrictions) -> Selector:
        """Return the choice of groups that keep away from each other."""
        del symbols, rules
        refuse_phrases(sources, "diverse_beam")
        return _Groups(self._config.groups, self._config.strength)


class _Groups(Selector):
    def __init__(self, groups: int, strength: float) -> None:
        self._groups = groups
        self._strength = strength

    def candidates(self, sums: Tensor, values: Tensor, log_probs: Tensor, step: int) -> Candidates:
        """Return the best of each group after those before it have chosen; see the base class."""
        del log_probs, step
        width, size = sums.shape[1], values.shape[1]
        sums = sums.view(-1, self._groups, width)
        values = values.view(-1, self._groups, width, size)
        costs = values.new_zeros(len(values), size)  # [sentences, vocabulary]
        chosen = []
        for group in range(self._groups):
            dear = values[:, group] - costs[:, None]  # [sentences, width, vocabulary]
            found = best_continuations(sums[:, group], dear.flatten(0, 1))
            said = found.scores[:, :width].isfinite().to(values.dtype) * self._strength
            costs.scatter_add_(1, found.tokens[:, :width], said)
            chosen.append(found)
        return self._in_rows(chosen, width)

    def follow(self, rows: Tensor, tokens: Tensor, kept: Tensor | None) -> None:
        """Remember nothing."""

    def _in_rows(self, chosen: list[Candidates], width: int) -> Candidates:
        """Return candidates of all groups, [sentences x groups, candidates], with rows of the whole batch."""
        tokens = torch.stack([each.tokens for each in chosen], dim=1).flatten(0, 1)
        scores = torch.stack([each.scores for each in chosen], dim=1).flatten(0, 1)
        rows = [self._row_in_batch(each.rows, group, width) for group, each in enumerate(chosen)]
        return Candidates(torch.stack(rows, dim=1).flatten(0, 1), tokens, scores)

    def _row_in_batch(self, rows: Tensor, group: int, width: int) -> Tensor:
        """Return rows of the batch for rows counted over one group's prefixes alone."""
        sentences, places = rows.div(width, rounding_mode="floor"), rows % width
        return (sentences * self._groups + group) * width + places


def build(config: DiverseBeamConfig) -> Search:
    """Return the search."""
    return DiverseBeamSearch(config)
