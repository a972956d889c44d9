"""The contract of formats: write a folder, read it back and compare, say how it is used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from specforge.exporting.exportable import Exportable, Sample, Verified


class Format(ABC):
    """Another tool's way to hold a model."""

    @abstractmethod
    def write(self, trained: Exportable, folder: Path) -> None:
        """Write the model into a folder that is there and holds the tokenizer's files only.

        Raises:
            WrongInputError: SF711, the format has no such model; SF681, a package is not installed.
        """

    @abstractmethod
    def verify(self, trained: Exportable, folder: Path, sample: Sample, threads: int) -> Verified:
        """Compare what the model and the folder give.

        Args:
            trained: the model.
            folder: what `write` wrote.
            sample: lines.
            threads: what may be used.

        Raises:
            RefusedError: SF712, they part.
        """

    @abstractmethod
    def readme(self, trained: Exportable, verified: Verified) -> str:
        """Return how the folder is used, as the text of its README.md."""
