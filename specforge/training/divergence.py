"""A warning where the loss rises far above what it was: finite, and yet training may be lost."""

from __future__ import annotations

from typing import Final

_FACTOR: Final = 1.5
_BITS: Final = 1.0  # a loss near nothing rises by half for no reason
_UPDATES: Final = 10  # a mean of fewer says little


class Divergence:
    """Compares the loss of each line of the log with the lowest so far."""

    def __init__(self) -> None:
        self._lowest: tuple[float, int] | None = None
        self._told = False

    def warning(self, loss: float, updates: int, applied: int) -> str | None:
        """Return a warning where there is a reason for one: once for each rise.

        Args:
            loss: mean of the line, in bits per target.
            updates: updates done.
            applied: of how many it is the mean.
        """
        if applied < _UPDATES:
            return None
        if self._lowest is None or loss <= self._lowest[0]:
            self._lowest = loss, updates
        lowest, of = self._lowest
        high = loss > _FACTOR * lowest and loss > lowest + _BITS
        told, self._told = self._told, high
        if told or not high:
            return None
        return (
            f"the loss is {loss:.2f} bits after {updates:,} updates, more than {_FACTOR} times the {lowest:.2f} of update "
            f"{of:,}: training may be diverging; it goes on"
        )
