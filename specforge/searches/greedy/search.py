"""Greedy search: the most probable symbol at every step."""

from __future__ import annotations

from torch import Tensor

from specforge.searches.best_symbols import best_symbol
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.search import Search, Sources
from specforge.searches.walk import Chooser, Walk


class _Best(Chooser):
    """The most probable symbol; of equals the first."""

    def choose(self, values: Tensor, step: int) -> Tensor:
        del step
        return best_symbol(values)

    def keep(self, sentences: Tensor) -> None:
        pass


class GreedySearch(Walk):
    """Follows the best symbol; gives exactly what beam search with `beam = 1` gives."""

    def __init__(self, config: GreedyConfig) -> None:
        super().__init__("greedy", config)

    def chooser(self, sources: Sources) -> Chooser:
        """Return the choice of the most probable symbol."""
        del sources
        return _Best()


def build(config: GreedyConfig) -> Search:
    """Return the search."""
    return GreedySearch(config)
