"""What a spec may say about greedy search. Free of torch."""

from __future__ import annotations

from specforge.searches.options import SearchConfig


class GreedyConfig(SearchConfig):
    """The most probable symbol at every step: beam search with one beam, without its bookkeeping."""
