"""Dropout that is quick on a CPU."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS: Final = 1 << 16
_LOWEST: Final = -(1 << 15)
_OPERATION: Final = "specforge::random_bits"


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
    # Dynamo cannot look into the function; eager code is spared the way through the dispatcher.
    draw = torch.ops.specforge.random_bits if torch.compiler.is_compiling() else random_bits
    bits = draw(values.detach())
    # Not `bits >= ...`: products with truths are not vectorised, and take seven times as long.
    kept = bits.ge_(_LOWEST + dropped).to(values.dtype)
    return (values * kept).mul_(_LEVELS / (_LEVELS - dropped))


def random_bits(like: Tensor) -> Tensor:
    """Return 16 random bits for each element, [...] of int16 for [...], from torch's global generator on the CPU."""
    words = torch.empty((like.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    return words.view(torch.int16)[: like.numel()].view(like.shape)  # uniform over the 65,536 values


def _without_values(like: Tensor) -> Tensor:
    return torch.empty(like.shape, dtype=torch.int16)


# The tag keeps a compiler from drawing once more in the backward pass. It does not keep it from drawing once for two calls with
# the same arguments, as common subexpressions are shared: hence `like` is the tensor itself, and not its size.
torch.library.define(_OPERATION, "(Tensor like) -> Tensor", tags=torch.Tag.nondeterministic_seeded)
torch.library.impl(_OPERATION, "cpu", random_bits)
torch.library.register_fake(_OPERATION, _without_values)


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
