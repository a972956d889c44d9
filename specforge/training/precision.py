"""Number formats: in which type the matrix products of a forward pass are computed."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return a context for one forward pass.

    Args:
        device: where it runs.
        precision: `bf16` computes matrix products in bfloat16 and leaves weights, sums, normalisation and losses in
            float32, so that no loss scaling is needed; `fp16` the same in float16, whose gradients need it
            (`specforge.training.loss_scale`); `fp32` computes in the type of the weights.
    """
    reduced = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype=reduced, enabled=precision != "fp32")
