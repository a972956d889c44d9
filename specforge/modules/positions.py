"""What tells a model where a symbol stands.

Positions are counted from `padding index + 1`, as in fairseq: its tables hold a row for padding, and weights trained there
mean those rows.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn


class SinusoidalPositions(nn.Module):
    """Sines in the first half of the width, cosines in the second, wavelengths from 2π to 2π · 10,000.

    Source: Vaswani et al. 2017, section 3.5, in the form of Tensor2Tensor and fairseq, where frequency j of d/2 is
    10,000 ** (-j / (d/2 - 1)). Nothing is learned or saved, and there is no longest position.

    Args:
        dim: width, even.
        first: number of the first position.
    """

    def __init__(self, dim: int, first: int) -> None:
        super().__init__()
        self._dim = dim
        self._first = first
        self._table = torch.empty(0, dim, device="cpu")

    def forward(self, embedded: Tensor, start: int = 0) -> Tensor:
        """Add positions.

        Args:
            embedded: [..., length, dim].
            start: position of the first of them.

        Returns:
            [..., length, dim]
        """
        first = self._first + start
        stop = first + embedded.shape[-2]
        return embedded + self._rows(stop, embedded)[first:stop]

    def at(self, embedded: Tensor, positions: Tensor, stop: int) -> Tensor:
        """Add positions that each symbol has for itself.

        Args:
            embedded: [..., dim].
            positions: [...] of int64, each below `stop`.
            stop: known without looking at them, for a GPU would have to be waited for.
        """
        return embedded + self._rows(self._first + stop, embedded)[self._first + positions]

    def _rows(self, stop: int, like: Tensor) -> Tensor:
        """Return at least the first `stop` rows of the table, of the type of a tensor."""
        table = self._table
        if len(table) < stop or table.dtype != like.dtype or table.device != like.device:
            # Not a buffer: a buffer would be rounded by `.bfloat16()`, and left without values by `.to_empty()`.
            self._table = table = sinusoids(max(stop, 2 * len(table)), self._dim, like.device).to(like.dtype)
        return table


def sinusoids(rows: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Return the table [rows, dim] in float64."""
    half = dim // 2
    steps = torch.arange(half, dtype=torch.float64, device=device)
    frequencies = torch.exp(steps * (-log(10_000) / max(half - 1, 1)))
    angles = torch.arange(rows, dtype=torch.float64, device=device)[:, None] * frequencies  # [rows, dim / 2]
    return torch.cat((angles.sin(), angles.cos()), dim=1)


class LearnedPositions(nn.Module):
    """A table of learned positions.

    Args:
        longest: positions that there are.
        dim: width.
        first: number of the first position; the rows before it are never used, as in fairseq.
        deviation: of the normal distribution that the table is drawn from.
    """

    def __init__(self, longest: int, dim: int, first: int, deviation: float) -> None:
        super().__init__()
        self._first = first
        self.weight = nn.Parameter(torch.empty(first + longest, dim))
        nn.init.normal_(self.weight, std=deviation)

    def forward(self, embedded: Tensor, start: int = 0) -> Tensor:
        """Add positions.

        Args:
            embedded: [..., length, dim].
            start: position of the first of them; `start + length` is at most `longest`.

        Returns:
            [..., length, dim]
        """
        first = self._first + start
        return embedded + self.weight[first : first + embedded.shape[-2]].to(embedded.dtype)

    def at(self, embedded: Tensor, positions: Tensor, stop: int) -> Tensor:
        """Add positions that each symbol has for itself.

        Args:
            embedded: [..., dim].
            positions: [...] of int64, each below `stop`.
            stop: at most `longest`.
        """
        del stop
        return embedded + self.weight[self._first + positions].to(embedded.dtype)
