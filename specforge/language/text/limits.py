"""Limits on a document that are checked before it is parsed.

Parsers take quadratic time over long dotted keys and run out of stack over deep nesting, so a size limit alone stops no
bomb. One pass over the text, linear in its length, counts what could hurt; no spec that a person writes comes near.
"""

from __future__ import annotations

import re
from typing import Final

LARGEST_FILE: Final = 1 << 20
"""Bytes in a spec file."""

DEEPEST: Final = 32
"""Brackets and braces inside one another; also tables inside one another, by dotted keys or otherwise."""

MOST_KEY_PARTS: Final = 16
"""Parts of one dotted key."""

MOST_ENTRIES: Final = 10_000
"""Keys, headers and array elements of a document."""

LONGEST_BARE: Final = 200
"""Characters of a bare key or number; the digits of a number are read in quadratic time."""

# Alternatives are possessive or one character long: no input makes the search go back over what it has read.
_TOKEN: Final = re.compile(
    r"""(?P<blank>(?:[ \t\r\n]++|\#[^\n]*+)++)
    |(?P<string>\"{3}(?:[^"\\]++|\\.|"{1,2}(?!"))*+"{3,5}|'{3}(?:[^']++|'{1,2}(?!'))*+'{3,5}
               |"(?!"")(?:[^"\\\n]++|\\.)*+"|'(?!'')[^'\n]*+')
    |(?P<mark>[\[\]{}=,.])
    |(?P<open>["'])""",
    re.VERBOSE | re.DOTALL,
)


def over_limit(text: str, most_entries: int = MOST_ENTRIES) -> tuple[str, int] | None:
    """Return what is over a limit and where, or None.

    The text need not be TOML. An unterminated string ends the search: a parser stops there, too.

    Args:
        text: the text.
        most_entries: how many keys, headers and array elements it may have.
    """
    depth = entries = dots = end = 0
    for token in _TOKEN.finditer(text):
        if token.start() - end > LONGEST_BARE:
            return f"a key or number of {token.start() - end:,} characters; the limit is {LONGEST_BARE}", end
        end = token.end()
        if token.lastgroup == "open":
            return None
        if token.lastgroup == "blank":
            dots = 0 if "\n" in token[0] else dots
            continue
        if token.lastgroup == "string":
            continue
        mark = token[0]
        dots = dots + 1 if mark == "." else 0
        depth += 1 if mark in "[{" else -1 if mark in "]}" else 0
        entries += mark in "[{=,"
        if dots >= MOST_KEY_PARTS:
            return f"a key of more than {MOST_KEY_PARTS} parts", token.start()
        if depth > DEEPEST:
            return f"more than {DEEPEST} brackets inside one another", token.start()
        if entries > most_entries:
            return f"more than {most_entries:,} keys and array elements", token.start()
    if len(text) - end > LONGEST_BARE:
        return f"a key or number of {len(text) - end:,} characters; the limit is {LONGEST_BARE}", end
    return None


def open_quote(text: str) -> int | None:
    """Return where a string begins that never ends, or None."""
    return next((token.start() for token in _TOKEN.finditer(text) if token.lastgroup == "open"), None)


def open_bracket(text: str) -> int | None:
    """Return where the innermost bracket or brace stands that is not closed, or None."""
    opened: list[int] = []
    for token in _TOKEN.finditer(text):
        if token[0] in {"[", "{"}:
            opened.append(token.start())
        elif token[0] in {"]", "}"} and opened:
            opened.pop()
    return opened[-1] if opened else None
