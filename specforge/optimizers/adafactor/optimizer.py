"""Adafactor, which remembers of a matrix's squared gradients only the means of its rows and columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, overload

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from specforge.optimizers.adafactor.config import AdafactorConfig

_DIMENSIONS_OF_A_MATRIX: Final = 2


class Adafactor(Optimizer):
    """Adaptive steps with memory that grows with the sides of a matrix, not with its area.

    In update t (from 1), with gradient G `[…, rows, columns]`, learning rate η, decay λ and β = 1 - t^decay_rate:

        S = G² + eps₁
        R ← β R + (1 - β) · mean of S over columns,   C ← β C + (1 - β) · mean of S over rows
        U = G / √(R Cᵀ / mean of R)
        U ← U / max(1, rms(U) / clip_threshold)
        α = η, or η · max(eps₂, rms(θ)) with scale_parameter
        M ← β₁ M + (1 - β₁) α U with beta1, else M = α U
        θ ← θ · (1 - α λ) - M

    A tensor with fewer than two dimensions keeps its running square whole: V ← β V + (1 - β) S, U = G / √V. β is 0 in the
    first update, so nothing needs a correction of its start.

    Source: Shazeer and Stern 2018; the place of learning rate, mean and decay as in fairseq's `adafactor`. PyTorch's own
    has no running mean, always scales by rms(θ), caps the rate of the lr_scheduler at 1/√t, and decays by η λ.

    Args:
        parameters: (name, parameter) pairs.
        config: rates, decays and limits.
    """

    def __init__(self, parameters: Iterable[tuple[str, Parameter]], config: AdafactorConfig) -> None:
        super().__init__(parameters, {"lr": config.lr})
        self._config = config

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
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group["lr"])
        return loss

    def _update(self, parameter: Parameter, gradient: Tensor, lr: float) -> None:
        config, state = self._config, self.state[parameter]
        state["step"] = state.get("step", 0) + 1
        keep = 1.0 - state["step"] ** config.decay_rate
        update = self._whitened(parameter, gradient, config.eps[0], keep)
        update.div_((_rms(update) / config.clip_threshold).clamp_(min=1.0))
        rate = lr * _rms(parameter).clamp_(min=config.eps[1]) if config.scale_parameter else lr
        update.mul_(rate)
        if config.beta1 is not None:
            mean = self._remembered(parameter, "exp_avg", update)
            update = mean.mul_(config.beta1).add_(update, alpha=1 - config.beta1)
        if config.weight_decay:
            parameter.mul_(1 - rate * config.weight_decay)
        parameter.sub_(update)

    def _whitened(self, parameter: Parameter, gradient: Tensor, eps: float, keep: float) -> Tensor:
        """Return the gradient over the root of its running square, and bring that up to date."""
        square = gradient.square().add_(eps)
        if gradient.dim() < _DIMENSIONS_OF_A_MATRIX:
            running = self._remembered(parameter, "exp_avg_sq", square).lerp_(square, 1 - keep)
            return gradient * running.rsqrt()
        row_square, column_square = square.mean(dim=-1), square.mean(dim=-2)
        rows = self._remembered(parameter, "exp_avg_sq_row", row_square).lerp_(row_square, 1 - keep)
        columns = self._remembered(parameter, "exp_avg_sq_col", column_square).lerp_(column_square, 1 - keep)
        row_factor = (rows / rows.mean(dim=-1, keepdim=True)).rsqrt_()
        return gradient * row_factor.unsqueeze(-1) * columns.rsqrt().unsqueeze(-2)

    def _remembered(self, parameter: Parameter, name: str, like: Tensor) -> Tensor:
        """Return a tensor of the parameter's state, at first zeros."""
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(like)
        tensor = state[name]
        assert isinstance(tensor, Tensor)
        return tensor


def _rms(tensor: Tensor) -> Tensor:
    """Return the root mean square of all elements."""
    return tensor.square().mean().sqrt_()


def build(config: AdafactorConfig, parameters: Iterable[tuple[str, Parameter]]) -> Optimizer:
    """Return the optimizer for (name, parameter) pairs."""
    return Adafactor(parameters, config)
