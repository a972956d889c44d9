"""AdamW as PyTorch has it."""

from __future__ import annotations

from collections.abc import Iterable

from torch.nn import Parameter
from torch.optim import AdamW, Optimizer

from specforge.optimizers.adamw.config import AdamWConfig
from specforge.optimizers.fused import fused_where_possible


def build(config: AdamWConfig, parameters: Iterable[tuple[str, Parameter]]) -> Optimizer:
    """Return the optimizer.

    Args:
        config: rates, decay and kernel.
        parameters: (name, parameter) pairs, on the device that they are trained on.

    Returns:
        PyTorch's AdamW. A kernel that the device does not have is PyTorch's error.
    """
    named = list(parameters)
    match config.kernel:
        case "auto":
            fused, foreach = fused_where_possible(named), None
        case "fused":
            fused, foreach = True, None
        case "foreach" | "loop":
            fused, foreach = False, config.kernel == "foreach"
    return AdamW(
        named,
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        amsgrad=config.amsgrad,
        fused=fused,
        foreach=foreach,
    )
