"""Stochastic gradient descent, by PyTorch's own kernels."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn import Parameter
from torch.optim import SGD, Optimizer

from specforge.optimizers.fused import fused_where_possible
from specforge.optimizers.sgd.config import SgdConfig


def build(config: SgdConfig, parameters: Iterable[tuple[str, Parameter]]) -> Optimizer:
    """Return the optimizer.

    Args:
        config: rate, momentum and decay.
        parameters: (name, parameter) pairs, on the device that they are trained on.

    Returns:
        PyTorch's SGD: with gradient g, learning rate η, momentum μ, decay λ and the buffer v (0 at first),
        `g' = g + λ θ`, `v ← μ v + g'`, `θ ← θ - η v`, or with Nesterov's look ahead `θ ← θ - η (g' + μ v)`.
    """
    named = list(parameters)
    optimizer = SGD(
        named,
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
        fused=fused_where_possible(named),
    )
    if config.momentum:
        # PyTorch's kernel makes the buffer in its first step, and leaves it unwritten if it is told to leave that step out.
        for _, parameter in named:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer
