"""Random numbers that are a function of keys: the same for a row wherever it stands, on every device.

torch's generators draw for a whole tensor, so that what one row gets depends on the rows before it.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_GAMMA: Final = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST: Final = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND: Final = 0x94D049BB133111EB - (1 << 64)
_BITS: Final = 53  # of a float64


def mixed(keys: Tensor, numbers: Tensor) -> Tensor:
    """Return new keys, int64, for keys and numbers that broadcast: the output `numbers` of the generator seeded with `keys`.

    Source: SplitMix64 (Steele, Lea and Flood 2014), in wrapping 64-bit arithmetic.
    """
    state = keys + (numbers + 1) * _GAMMA
    state = (state ^ _shifted(state, 30)) * _FIRST
    state = (state ^ _shifted(state, 27)) * _SECOND
    return state ^ _shifted(state, 31)


def gumbel(keys: Tensor, numbers: Tensor) -> Tensor:
    """Return noise with a standard Gumbel distribution, [rows, numbers] of float64.

    Args:
        keys: [rows] of int64.
        numbers: [rows, numbers] or [numbers] of int64: which of each key's noise.
    """
    bits = _shifted(mixed(keys[:, None], numbers), 64 - _BITS)
    uniform = (bits.double() + 0.5) * 2.0**-_BITS  # never 0; 1 only by rounding, and then the noise is finite still
    return -torch.log(-torch.log(uniform.clamp(max=1.0 - 2.0**-_BITS)))


def _shifted(values: Tensor, bits: int) -> Tensor:
    """Return a shift to the right that fills up with zeros; torch's own repeats the sign."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)
