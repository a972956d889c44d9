"""Operations that change the gradient only."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


def scale_gradient(values: Tensor, factor: float) -> Tensor:
    """Return values [...] as they are; their gradient will be multiplied by the factor."""
    scaled: Tensor = _ScaleGradient.apply(values, factor)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return scaled


class _Context(FunctionCtx):
    factor: float


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None
