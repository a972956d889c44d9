"""Which sentences a batch goes on with, and in which order."""

from __future__ import annotations

import torch
from torch import Tensor


def closed_up(staying: Tensor) -> Tensor:
    """Return the sentences that go on, [new sentences]: the last of them in the places of those that do not.

    All others keep their places, so that little of what is cached has to move.

    Args:
        staying: [sentences] of bool.
    """
    count = int(staying.sum())
    kept = torch.arange(count, device=staying.device)
    kept[~staying[:count]] = count + staying[count:].nonzero().squeeze(1)
    return kept
