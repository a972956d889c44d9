"""Sentences that a batch goes on with, and what is kept of theirs."""

from __future__ import annotations

import torch
from torch import Tensor


class Places:
    """Which old sentence takes each new place.

    Args:
        sentences: [new sentences] the old number of each.
        before: how many there were.
    """

    def __init__(self, sentences: Tensor, before: int) -> None:
        self.sentences = sentences
        places = torch.arange(len(sentences), device=sentences.device)
        changed = (sentences != places).nonzero().squeeze(1)
        few = len(sentences) <= before and 2 * len(changed) <= len(sentences)
        self._changed = changed if few else None

    @property
    def in_place(self) -> bool:
        """Whether so few change places that the others are best left where they are."""
        return self._changed is not None

    def move(self, values: Tensor, dim: int = 0) -> None:
        """Move, within values, what belongs to a sentence that changes its place; for `in_place`.

        Args:
            values: with the old sentences along an axis.
            dim: the axis.
        """
        assert self._changed is not None
        values.index_copy_(dim, self._changed, values.index_select(dim, self.sentences[self._changed]))

    def kept(self, values: Tensor) -> Tensor:
        """Return what belongs to the new sentences, [new sentences, ...]; may be a part of what is given, changed in place.

        Args:
            values: [old sentences, ...], nobody else's.
        """
        if self._changed is None:
            return values.index_select(0, self.sentences)
        self.move(values)
        return values[: len(self.sentences)]
