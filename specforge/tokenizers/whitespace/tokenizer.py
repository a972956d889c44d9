"""The whitespace tokenizer: what stands between white space is a piece."""

from __future__ import annotations

from collections.abc import Sequence

from specforge.tokenizers.tokenizer import Tokenizer
from specforge.tokenizers.whitespace.config import WhitespaceConfig


class WhitespaceTokenizer(Tokenizer):
    """Cuts at white space as Unicode defines it, no-break spaces too, as fairseq does.

    Args:
        config: how outputs are joined.
    """

    def __init__(self, config: WhitespaceConfig) -> None:
        self._continuation = config.remove_bpe

    def encode(self, role: str, lines: Sequence[str]) -> list[list[str]]:
        """Return what stands between white space."""
        del role
        return [line.split() for line in lines]

    def decode(self, role: str, pieces: Sequence[str]) -> str:
        """Join pieces with spaces and then, with `remove_bpe`, pieces into words.

        A mark at the very end of the line goes too, as in fairseq: a space is put after the last piece first.
        """
        del role
        text = " ".join(pieces)
        if self._continuation is None:
            return text
        return f"{text} ".replace(self._continuation, "").rstrip()

    def surface(self, role: str, line: str) -> str:
        """Return the line with its pieces joined into words, with `remove_bpe`."""
        return line if self._continuation is None else self.decode(role, line.split())


def build(config: WhitespaceConfig) -> Tokenizer:
    """Build the tokenizer."""
    return WhitespaceTokenizer(config)
