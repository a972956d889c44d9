"""Lines with more tokens than a model has positions: cut into parts that fit, where a reader would pause."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_PAUSES: Final = (
    re.compile(r"""[.!?…]["'»”’)\]]*(?=\s)|[。！？][」』”’）]*"""),
    re.compile(r"""[,;:–—]["'»”’)\]]*(?=\s)|[，；：、]"""),
    re.compile(r"\s"),
)
"""Where a line may be cut, best first: after a sentence, after a clause, between words."""

_LEAST: Final = 0.5
"""Share of what fits that a part is to have at least: a sentence that ends after its second word is no place to cut."""


def split_line(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Return the parts of a line, none of them blank; together they are the line, but for white space where it is cut.

    A part ends at the last sentence end that fits, else at the last comma, colon or semicolon, else at the last space, each
    if that is not in the first half of what fits; else in the middle of a word.

    Args:
        text: the line.
        fits: whether the model can take a text as a line of its own; a part of what fits does, too.
    """
    parts: list[str] = []
    rest = text.strip()
    while rest:
        end = _cut(rest, _longest_fitting(rest, fits))
        parts.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return parts


def _longest_fitting(text: str, fits: Callable[[str], bool]) -> int:
    """Return how many characters of the beginning fit, one at least, trying texts of up to twice the length that fits."""
    high = 1
    while high < len(text) and fits(text[:high]):
        high *= 2
    if high >= len(text) and fits(text):
        return len(text)
    low, high = max(1, high // 2), min(high, len(text))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(text[:middle]) else (low, middle)
    return low


def _cut(text: str, longest: int) -> int:
    if longest == len(text):
        return longest
    window = text[: longest + 1]  # with the character after it: white space there makes the end of a word
    for pause in _PAUSES:
        ends = [found.end() for found in pause.finditer(window) if _LEAST * longest <= found.end() <= longest + 1]
        fitting = [end for end in ends if len(window[:end].rstrip()) <= longest]
        if fitting:
            return fitting[-1]
    return longest
