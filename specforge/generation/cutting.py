"""From lines to what is decoded: pieces, with every line that the model cannot take dealt with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specforge.generation.long_lines import split_line
from specforge.generation.translation import TooLong
from specforge.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class CutLine:
    """A line in pieces.

    Args:
        pieces: of the whole line; none of a blank one.
        parts: what is decoded, each by itself; none where the line is to pass as it is.
        too_long: whether the model cannot take the whole line.
    """

    pieces: list[str]
    parts: list[list[str]]
    too_long: bool = False


class Cutter:
    """Cuts lines of source text.

    Args:
        tokenizer: trained.
        longest: tokens that the model takes, EOS counted; None for no limit.
        too_long: what is done about a line that has more. With `error` it is left whole, for whoever decodes to refuse.
    """

    def __init__(self, tokenizer: Tokenizer, longest: int | None, too_long: TooLong) -> None:
        self._tokenizer = tokenizer
        self._longest = longest
        self._policy = too_long

    def cut(self, lines: Sequence[str]) -> list[CutLine]:
        """Return each line in pieces, an unknown piece as the text that it stands for."""
        return [self._dealt_with(line, pieces) for line, pieces in zip(lines, self._pieces(lines), strict=True)]

    def _pieces(self, lines: Sequence[str]) -> list[list[str]]:
        return self._tokenizer.spelled("source", ["" if line.isspace() else line for line in lines])

    def _dealt_with(self, line: str, pieces: list[str]) -> CutLine:
        if self._fits(pieces):
            return CutLine(pieces, [pieces])
        match self._policy:
            case "error":
                parts = [pieces]
            case "keep":
                parts = []
            case "truncate":
                parts = [self._beginning(pieces)]
            case "split":
                texts = split_line(line, lambda text: self._fits(self._pieces([text])[0]))
                parts = [self._beginning(part) for part in self._pieces(texts)]
        return CutLine(pieces, parts, too_long=True)

    def _fits(self, pieces: Sequence[str]) -> bool:
        return self._longest is None or len(pieces) < self._longest

    def _beginning(self, pieces: list[str]) -> list[str]:
        """Return as many pieces as the model takes: of a split line's part all, unless one character is too much for it."""
        return pieces if self._longest is None else pieces[: self._longest - 1]
