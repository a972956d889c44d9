"""Number formats: in which type the matrix products of a forward pass are computed."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch

Precision: TypeAlias = Literal["fp32", "bf16"]


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return a context for one forward pass.

    Args:
        device: where it runs.
        precision: `bf16` computes matrix products in bfloat16 and leaves weights, sums, normalisation and losses in
            float32, so that no loss scaling is needed; `fp32` computes in the type of the weights.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
