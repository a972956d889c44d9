"""Rows of unequal length as one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specforge.data.vocabulary import PAD


def padded(rows: Sequence[NDArray[np.integer]]) -> tuple[Tensor, Tensor]:
    """Return rows padded on the right, [rows, longest] of int64, and their lengths, [rows] of int64."""
    lengths = np.array([len(row) for row in rows], np.int64)
    padded = np.full((len(rows), int(lengths.max(initial=0))), PAD, np.int64)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = row
    return torch.from_numpy(padded), torch.from_numpy(lengths)
