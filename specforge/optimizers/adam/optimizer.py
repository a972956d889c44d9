"""Adam with decoupled weight decay, by PyTorch's own kernels."""

from __future__ import annotations

from collections.abc import Iterable

from torch.nn import Parameter
from torch.optim import AdamW, Optimizer

from specforge.optimizers.adam.config import AdamConfig
from specforge.optimizers.fused import fused_where_possible


def build(config: AdamConfig, parameters: Iterable[tuple[str, Parameter]]) -> Optimizer:
    """Return the optimizer.

    Args:
        config: rates and decay.
        parameters: (name, parameter) pairs, on the device that they are trained on.

    Returns:
        PyTorch's AdamW. fairseq's `adam` decays the same way; it adds eps before the bias of the running square is
        corrected, PyTorch after, which matters only where gradients are as small as eps.
    """
    named = list(parameters)
    return AdamW(
        named,
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=fused_where_possible(named),
    )
