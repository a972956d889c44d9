"""Where a padded tensor holds symbols."""

from __future__ import annotations

import torch
from torch import Tensor


def padding_mask(lengths: Tensor, width: int) -> Tensor | None:
    """Return the mask that keeps attention on symbols.

    Args:
        lengths: [batch] of int64.
        width: length of the padded tensor.

    Returns:
        [batch, 1, 1, width] of bool, True where there is a symbol. On a CPU None when there is no padding at all: looking
        costs nothing there, and attention is quicker without a mask; a GPU would have to be waited for.
    """
    if lengths.device.type == "cpu" and bool((lengths == width).all()):
        return None
    return (torch.arange(width, device=lengths.device) < lengths[:, None])[:, None, None, :]
