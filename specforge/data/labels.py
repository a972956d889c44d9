"""The labels of a classification: which label has which index, one label a line, in the order of their code points.

There are no special symbols and no fillers among them: what can be predicted is what the training data have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from specforge.foundation.errors import CorruptStateError, Place

UNKNOWN: Final = -1
"""Index of a label that the training data do not have."""


class Labels:
    """The labels of a column.

    Args:
        labels: each once, in the order of their indices; none holds a line end.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)
        self._indices = {label: index for index, label in enumerate(self._labels)}

    def __len__(self) -> int:
        return len(self._labels)

    def __contains__(self, label: str) -> bool:
        return label in self._indices

    def __getitem__(self, index: int) -> str:
        return self._labels[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._labels)

    def encode(self, labels: Iterable[str]) -> list[int]:
        """Return the index of each label, `UNKNOWN` where there is no such label."""
        return [self._indices.get(label, UNKNOWN) for label in labels]

    def to_bytes(self) -> bytes:
        """Return the file."""
        return "".join(f"{label}\n" for label in self._labels).encode()

    @classmethod
    def from_bytes(cls, data: bytes, place: Place | None = None) -> Labels:
        """Return the labels of a file.

        Args:
            data: as `to_bytes` wrote it.
            place: the file, for the error.

        Raises:
            CorruptStateError: SF614, it is no such file.
        """
        try:
            labels = data.decode().removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            raise CorruptStateError("SF614", "not a file of labels", place=place) from error
        if not data or len(set(labels)) < len(labels):
            raise CorruptStateError("SF614", "not a file of labels, each once", place=place)
        return cls(labels)

    @classmethod
    def of(cls, labels: Iterable[str]) -> Labels:
        """Return the labels of a text."""
        return cls(sorted(set(labels)))
