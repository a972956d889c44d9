"""Writing an indexed corpus in one pass over the text: pieces get provisional numbers, and their indices at the end.

The vocabulary is known only when all text has been cut, and cutting is what takes the time. So the pieces are numbered as
they appear, the numbers wait in a scratch file, and `finish` turns numbers into indices, block by block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import numpy as np
from numpy.typing import NDArray

from specforge.data.corpus import OFFSET_TYPE, SplitFacts, TokenType, token_dtype
from specforge.foundation import durable

_NUMBER_TYPE: Final = np.dtype("<u4")
_BLOCK: Final = 1 << 20
"""Tokens that are turned into indices at once."""


class SplitWriter:
    """Streams one split into its files; memory does not grow with the corpus. A context manager.

    Args:
        folder: the result being written.
        name: the split, `train` or `valid`.
        roles: its columns.
    """

    def __init__(self, folder: Path, name: str, roles: Sequence[str]) -> None:
        self._folder = folder
        self._name = name
        self._roles = tuple(roles)
        self._files = ExitStack()
        self._offsets: dict[str, IO[bytes]] = {}
        self._numbers: dict[str, IO[bytes]] = {}
        self._tokens = dict.fromkeys(self._roles, 0)
        self.items = 0

    def __enter__(self) -> Self:
        for role in self._roles:
            offsets = self._files.enter_context(durable.new_file(self._folder / f"{self._name}.{role}.offsets"))
            offsets.write(np.zeros(1, OFFSET_TYPE).tobytes())
            self._offsets[role] = offsets
            self._numbers[role] = self._files.enter_context(durable.scratch_file(self._folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._files.__exit__(kind, error, trace)

    def append(self, numbers: Mapping[str, NDArray[np.uint32]], lengths: Mapping[str, NDArray[np.int64]]) -> None:
        """Append items.

        Args:
            numbers: role → [tokens] provisional numbers of all items back to back, ends of sentence included.
            lengths: role → [items] how many of them each item has.
        """
        for role in self._roles:
            offsets = self._tokens[role] + np.cumsum(lengths[role], dtype=OFFSET_TYPE)
            self._offsets[role].write(offsets.tobytes())
            self._numbers[role].write(numbers[role].astype(_NUMBER_TYPE, copy=False).tobytes())
            self._tokens[role] += len(numbers[role])
        self.items += len(lengths[self._roles[0]])

    def finish(self, indices: Mapping[str, NDArray[np.int64]], dtypes: Mapping[str, TokenType]) -> SplitFacts:
        """Write the token files.

        Args:
            indices: role → [provisional numbers] the index of each.
            dtypes: role → type of its token file.
        """
        for role in self._roles:
            lookup = indices[role].astype(token_dtype(dtypes[role]))
            with durable.new_file(self._folder / f"{self._name}.{role}.tokens") as file:
                for block in self._blocks(role):
                    file.write(lookup[block].tobytes())
        return SplitFacts(items=self.items, tokens=dict(self._tokens))

    def _blocks(self, role: str) -> Iterator[NDArray[np.uint32]]:
        file = self._numbers[role]
        file.seek(0)
        while data := file.read(_BLOCK * _NUMBER_TYPE.itemsize):
            yield np.frombuffer(data, _NUMBER_TYPE)
