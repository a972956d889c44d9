"""A tokenizer of one text where source and target are asked for: a language model goes on with what it is given."""

from __future__ import annotations

from collections.abc import Sequence

from specforge.tokenizers.tokenizer import Tokenizer


class OneTextTokenizer(Tokenizer):
    """Cuts and joins text of every role as that of one.

    Args:
        tokenizer: trained.
        role: the only one that it knows.
    """

    def __init__(self, tokenizer: Tokenizer, role: str) -> None:
        self._tokenizer = tokenizer
        self._role = role

    def encode(self, role: str, lines: Sequence[str]) -> list[list[str]]:
        """Return the pieces of each line."""
        del role
        return self._tokenizer.encode(self._role, lines)

    def spelled(self, role: str, lines: Sequence[str]) -> list[list[str]]:
        """Return what `encode` does, an unknown piece as the text that it stands for."""
        del role
        return self._tokenizer.spelled(self._role, lines)

    def decode(self, role: str, pieces: Sequence[str]) -> str:
        """Return the line that pieces stand for."""
        del role
        return self._tokenizer.decode(self._role, pieces)

    def surface(self, role: str, line: str) -> str:
        """Return a line as people read it."""
        del role
        return self._tokenizer.surface(self._role, line)
