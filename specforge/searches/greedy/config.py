"""What a spec may say about greedy search. Free of torch."""

from __future__ import annotations

from specforge.searches.lengths import LengthConfig


class GreedyConfig(LengthConfig):
    """The most probable symbol at every step: beam search with one beam, without its bookkeeping."""
