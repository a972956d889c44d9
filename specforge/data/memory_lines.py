"""Lines of text that were never written to a corpus: token indices in memory, as items and as one stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray


class MemoryLines:
    """The lines of a column, or of several, in memory.

    Args:
        roles: its columns.
    """

    def __init__(self, *roles: str) -> None:
        self._roles: Final = roles
        self._parts: dict[str, list[NDArray[np.int64]]] = {role: [] for role in roles}
        self._offsets: dict[str, list[int]] = {role: [0] for role in roles}

    def __len__(self) -> int:
        return len(self._offsets[self._roles[0]]) - 1

    def append(self, lines: Mapping[str, Sequence[Sequence[int]]]) -> None:
        """Append lines of token indices, EOS at the end of each.

        Args:
            lines: role → lines, as many for each role.
        """
        for role in self._roles:
            offsets = self._offsets[role]
            for line in lines[role]:
                offsets.append(offsets[-1] + len(line))
            self._parts[role].append(np.array([token for line in lines[role] for token in line], np.int64))

    def lengths(self, items: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """Return the lengths of some lines: role → [items]."""
        found: dict[str, NDArray[np.int64]] = {}
        for role in self._roles:
            offsets = np.array(self._offsets[role])
            found[role] = offsets[items + 1] - offsets[items]
        return found

    def item(self, index: int) -> dict[str, NDArray[np.int64]]:
        """Return a line of each column."""
        return {role: self.tokens(role, self.offset(role, index), self.offset(role, index + 1)) for role in self._roles}

    def offset(self, role: str, item: int) -> int:
        """Return how many tokens stand before a line; before one past the last: all."""
        return self._offsets[role][item]

    def tokens(self, role: str, start: int, stop: int) -> NDArray[np.int64]:
        """Return the tokens [start, stop) of a column, whatever lines they belong to."""
        parts = self._parts[role]
        if len(parts) > 1:
            parts[:] = [np.concatenate(parts)]
        return parts[0][start:stop] if parts else np.empty(0, np.int64)
