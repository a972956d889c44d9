"""The best symbols of each prefix, found without ranking the whole vocabulary."""

from __future__ import annotations

from functools import cache
from typing import Final

import torch
from torch import Tensor

_LARGE: Final = 2_048
"""Symbols from which on looking twice is quicker: on one core 1.5 ms against 3.3 for the best 6 of 8,000, 320 prefixes."""

_COLUMNS: Final = 128

_FEW: Final = 8
"""Rows below which `argmax` has done its work before maxima are found: 1 row takes 18 µs against 81, 8 rows 116 against 106."""


def best_symbols(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the largest values of each row and where they stand, best first: what `topk` does, in half the time on a CPU.

    The vocabulary is laid out in columns. The best `count` symbols stand in the `count` columns with the largest maxima, and
    finding maxima is quick. What a row gets does not depend on how many there are.

    Args:
        values: [rows, vocabulary].
        count: how many are wanted, at most the vocabulary.

    Returns:
        Values and indices, [rows, count] each. Which of several equal values comes first is not said.
    """
    rows, vocabulary = values.shape
    if vocabulary < _LARGE or count >= _COLUMNS or values.device.type != "cpu":
        best = values.topk(count, dim=1)
        return best.values, best.indices
    height = vocabulary // _COLUMNS
    grid = values[:, : height * _COLUMNS].view(rows, height, _COLUMNS)
    columns = grid.amax(dim=1).topk(count, dim=1, sorted=False).indices[:, None]  # [rows, 1, count]
    candidates = grid.gather(2, columns.expand(-1, height, -1)).flatten(1)
    first, beyond = _places(vocabulary)
    indices = (first + columns).flatten(1)  # [rows, height x count]
    candidates = torch.cat((candidates, values[:, height * _COLUMNS :]), dim=1)
    best = candidates.topk(count, dim=1)
    return best.values, torch.cat((indices, beyond.expand(rows, -1)), dim=1).gather(1, best.indices)


@cache
def _places(vocabulary: int) -> tuple[Tensor, Tensor]:
    """Return the symbol at the head of each row of the grid, [height, 1], and those in no column."""
    height = vocabulary // _COLUMNS
    first = torch.arange(height, device="cpu")[:, None] * _COLUMNS
    return first, torch.arange(height * _COLUMNS, vocabulary, device="cpu")


def best_symbol(values: Tensor) -> Tensor:
    """Return the symbol with the largest value in each row, [rows]; of equals the first, and before all others a NaN.

    What `argmax` does, in a third of the time on a CPU (64 rows of 8,000: 170 µs against 640): the maxima of runs of symbols are
    quick to find, and say in which run to look.

    Args:
        values: [rows, vocabulary].
    """
    rows, vocabulary = values.shape
    if rows < _FEW or vocabulary < _LARGE or values.device.type != "cpu":
        return values.argmax(dim=1)
    runs = vocabulary // _COLUMNS
    grid = values[:, : runs * _COLUMNS].view(rows, runs, _COLUMNS)
    run = grid.amax(dim=2).argmax(dim=1)
    largest, symbol = grid[torch.arange(rows), run].max(dim=1)
    symbol = run * _COLUMNS + symbol
    if runs * _COLUMNS == vocabulary:
        return symbol
    beyond, place = values[:, runs * _COLUMNS :].max(dim=1)
    first = largest.isnan() | (largest >= beyond)  # neither holds where there is a NaN beyond
    return torch.where(first, symbol, runs * _COLUMNS + place)
