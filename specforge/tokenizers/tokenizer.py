"""The contract of tokenizers: text to pieces and back, per column role."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence


class Tokenizer(ABC):
    """Cuts lines into pieces and joins pieces into lines. Free of torch."""

    def train(self, texts: Mapping[str, Callable[[], Iterator[str]]], seed: int) -> dict[str, bytes]:
        """Learn from training text and return the files to keep, by name.

        Args:
            texts: column role → a function that starts reading the column's lines from the beginning.
            seed: seed of anything random.

        Returns:
            File name → content; `load` gets the same mapping. Empty for a tokenizer that learns nothing.
        """
        del texts, seed
        return {}

    def load(self, files: Mapping[str, bytes]) -> None:
        """Take over what `train` returned."""
        del files

    def remarks(self) -> Sequence[str]:
        """Return what the user should know of the last `train`, one sentence each: what it left out, what it changed."""
        return ()

    @abstractmethod
    def encode(self, role: str, lines: Sequence[str]) -> list[list[str]]:
        """Return the pieces of each line."""

    def spelled(self, role: str, lines: Sequence[str]) -> list[list[str]]:
        """Return what `encode` does, an unknown piece as the text that it stands for; the vocabulary does not know that either."""
        return self.encode(role, lines)

    @abstractmethod
    def decode(self, role: str, pieces: Sequence[str]) -> str:
        """Return the line that pieces stand for."""

    def surface(self, role: str, line: str) -> str:
        """Return a line of the data as people read it, which is what outputs are compared with.

        The line itself, unless the data come cut into pieces already: then the pieces joined, as `decode` joins them.
        Needs no `load`.
        """
        del role
        return line
