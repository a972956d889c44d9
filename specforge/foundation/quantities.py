"""Numbers with their nouns, for sentences to people."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 line`, `29,000 lines`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
