"""Dropout that is quick on a CPU."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS: Final = 1 << 16
_LOWEST: Final = -(1 << 15)


def dropout(values: Tensor, probability: float, *, training: bool) -> Tensor:
    """Zero elements at random and scale the others so that the mean stays.

    On a CPU, torch draws a float for every element from one thread, which takes 13 % of a training step of a small
    transformer. Here an element costs 16 random bits: the probability is rounded to a multiple of 1/65,536, and the scale
    belongs to the rounded one, so the mean is exact. All bits come from torch's global generator.

    Args:
        values: any shape.
        probability: of zeroing an element, in [0, 1).
        training: outside training, values come back as they are.
    """
    if not training or probability == 0.0:
        return values
    if values.device.type != "cpu":
        return functional.dropout(values, probability, training=True)
    dropped = min(round(probability * _LEVELS), _LEVELS - 1)
    words = torch.empty((values.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    bits = words.view(torch.int16)[: values.numel()].view(values.shape)  # uniform over the 65,536 values
    return (values * (bits >= _LOWEST + dropped)).mul_(_LEVELS / (_LEVELS - dropped))


class Dropout(nn.Module):
    """`dropout` as a module.

    Args:
        probability: of zeroing an element, in [0, 1).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, values: Tensor) -> Tensor:
        """Return values [...] with some of them zeroed in training."""
        return dropout(values, self.probability, training=self.training)

    def extra_repr(self) -> str:
        """Say the probability where the module is printed."""
        return f"probability={self.probability}"
