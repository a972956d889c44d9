"""Nesterov's accelerated gradient with the step that looks ahead folded into the gradient step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import overload

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from specforge.optimizers.nag.config import NagConfig


class Nag(Optimizer):
    """Simplified Nesterov momentum, kept in units of weights and corrected when the learning rate changes.

    With gradient g, learning rate η, last learning rate η', momentum μ, decay λ and the buffer v (0 at first):

        θ ← θ · (1 - η λ) + μ² (η / η') v - (1 + μ) η g
        v ← μ (η / η') v - η g

    Source: Bengio, Boulanger-Lewandowski and Pascanu 2012, equations 6 and 7; the factor η / η' and the decay as in
    fairseq's `nag`.

    Args:
        parameters: (name, parameter) pairs.
        lr: η until somebody sets another.
        momentum: μ.
        weight_decay: λ.
    """

    def __init__(
        self, parameters: Iterable[tuple[str, Parameter]], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(parameters, {"lr": lr, "lr_old": lr, "momentum": momentum, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Do one step with the gradients that the parameters hold; those without a gradient stay."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            # A rate of zero left v at zero, so that any factor is right.
            correction = lr / group["lr_old"] if group["lr_old"] > 0 else 1.0
            for parameter in group["params"]:
                if parameter.grad is not None:
                    buffer = self._buffer(parameter)
                    parameter.mul_(1 - lr * group["weight_decay"])
                    parameter.add_(buffer, alpha=momentum**2 * correction)
                    parameter.add_(parameter.grad, alpha=-(1 + momentum) * lr)
                    buffer.mul_(momentum * correction).add_(parameter.grad, alpha=-lr)
            group["lr_old"] = lr
        return loss

    def _buffer(self, parameter: Parameter) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"]
        assert isinstance(buffer, Tensor)
        return buffer


def build(config: NagConfig, parameters: Iterable[tuple[str, Parameter]]) -> Optimizer:
    """Return the optimizer for (name, parameter) pairs."""
    return Nag(parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
