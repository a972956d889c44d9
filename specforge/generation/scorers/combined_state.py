"""What several models keep between two steps, as one state."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from specforge.models.model import DecodingState


class CombinedState(DecodingState):
    """The states of models that decode the same prefixes.

    Args:
        states: of each model; they have the same rows.
    """

    def __init__(self, states: Sequence[DecodingState]) -> None:
        self.states = states

    @property
    def attention(self) -> Tensor | None:
        """The mean over the models that say what they looked at, [rows, source length]; None where none does."""
        known = [state.attention for state in self.states]
        looked = [attention for attention in known if attention is not None]
        return torch.stack(looked).mean(dim=0) if looked else None

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        """Reorder and drop in each of them; see the base class."""
        for state in self.states:
            state.select(rows, sentences)
