"""A random order of any number of items that needs no memory: a keyed bijection computed point by point."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from specforge.foundation.seeds import derived_seed

_ROUNDS: Final = 6


class Permutation:
    """A bijection of 0 … size - 1 onto itself, one of many, chosen by a seed.

    A Feistel network over pairs of half-words permutes the next power of four; a result outside the range is permuted
    again until it falls inside (cycle walking), at most four times on average.

    Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains"; the round function is the finaliser of
    SplitMix64 (Steele, Lea and Flood 2014).

    Args:
        size: number of items.
        seed: chooses the order.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
        self._mask = np.uint64((1 << int(self._half)) - 1)
        self._keys = [np.uint64(derived_seed(seed, "permutation", number)) for number in range(_ROUNDS)]

    def __call__(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the item at each position."""
        items = self._network(positions.astype(np.uint64))
        outside = items >= self._size
        while outside.any():
            items[outside] = self._network(items[outside])
            outside = items >= self._size
        return items.astype(np.int64)

    def _network(self, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = words >> self._half, words & self._mask
        for key in self._keys:
            left, right = right, left ^ (mixed(right ^ key) & self._mask)
        return (left << self._half) | right


def mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return each word scrambled, so that one changed bit of it changes about half of the bits of the result."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def shuffled(size: int, seed: int) -> NDArray[np.int64]:
    """Return 0 … size - 1 in a random order chosen by a seed, as an array: for a few items."""
    return np.argsort(mixed(np.arange(size, dtype=np.uint64) ^ np.uint64(seed)), kind="stable")
