"""Where each key and each value of a TOML document stands in its text.

No TOML library for Python says so. The text was accepted by a parser before it comes here, so the scanner has no errors to
handle and only looks for the ends of things. It runs when a place is asked for, not on every load.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib  # the standard library reads TOML 1.0 only before Python 3.15

if TYPE_CHECKING:
    from specforge.language.spec import ValuePath

_SPACES: Final = re.compile(r"[ \t]*")
_BLANK: Final = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR: Final = re.compile(r"[^,\]}#\r\n]*")
# A multi-line string may end in one or two quotes of its own, so the closing run is three to five long.
_STRING: Final = re.compile(
    r'"""(?:[^"\\]++|\\.|"{1,2}(?!"))*+"{3,5}'
    r"|'''(?:[^']++|'{1,2}(?!'))*+'{3,5}"
    r'|"(?:[^"\\]++|\\.)*+"'
    r"|'[^']*+'",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of text: from the character at `start` up to, not including, the one at `end`."""

    start: int
    end: int


@dataclass(frozen=True)
class SourceText:
    """A text with the name that people know it by.

    Args:
        name: the file as typed, or `--set`.
        text: its content; line ends are LF.
    """

    name: str
    text: str

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer("\n", self.text))]

    def line_and_column(self, position: int) -> tuple[int, int]:
        """Return line and column of a character, both from 1; columns count characters."""
        line = bisect_right(self._line_starts, position)
        return line, position - self._line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Return the text of a line, without its end."""
        start = self._line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start:] if end < 0 else self.text[start:end]


@dataclass(slots=True)
class SpanIndex:
    """Spans by path: of the key that names a value first, and of the value where it stands in one piece.

    A table with a header has a key span (the last part of the header) and no value span; an element of an array has a
    value span and, unless it is a `[[table]]`, no key span.
    """

    keys: dict[ValuePath, Span] = field(default_factory=dict)
    values: dict[ValuePath, Span] = field(default_factory=dict)

    def known_prefix(self, path: ValuePath) -> ValuePath:
        """Return the longest beginning of a path that the document holds."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.keys or path[:length] in self.values:
                return path[:length]
        return ()

    def key(self, path: ValuePath) -> Span | None:
        """Return the span of a key, or of the value itself where it has no key (an element of an array)."""
        return self.keys.get(path) or self.values.get(path)

    def value(self, path: ValuePath) -> Span | None:
        """Return the span of a value, or of its header where it is a table that has one."""
        return self.values.get(path) or self.keys.get(path)


def scan(text: str) -> SpanIndex:
    """Return the spans of a document.

    Args:
        text: valid TOML with LF line ends and no byte order mark.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.index


class _Scanner:
    """A cursor over a valid document; each method starts at what it is named for and ends behind it."""

    def __init__(self, text: str) -> None:
        self.index = SpanIndex()
        self._text = text
        self._at = 0
        self._elements: dict[ValuePath, int] = {}  # array of tables → number of its elements so far

    def document(self) -> None:
        table: ValuePath = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> Span:
        found = pattern.match(self._text, self._at)
        assert found is not None, "the patterns match where a valid document lets them"
        self._at = found.end()
        return Span(found.start(), found.end())

    def _header(self) -> ValuePath:
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        parts = self._key()
        self._skip(_SPACES)
        self._at += brackets
        path: ValuePath = ()
        for name, span in parts[:-1]:
            path = self._newest((*path, name))
            self.index.keys.setdefault(path, span)
        name, span = parts[-1]
        path = (*path, name)
        self.index.keys.setdefault(path, span)
        if brackets == 2:  # noqa: PLR2004  # `[[name]]`
            self._elements[path] = self._elements.get(path, 0) + 1
            path = self._newest(path)
            self.index.keys[path] = span
        return path

    def _newest(self, path: ValuePath) -> ValuePath:
        """Step into the last element where the path is an array of tables."""
        return (*path, self._elements[path] - 1) if path in self._elements else path

    def _pair(self, table: ValuePath) -> None:
        path = table
        for name, span in self._key():
            path = (*path, name)
            self.index.keys.setdefault(path, span)
        self._skip(_SPACES)
        self._at += len("=")
        self._skip(_SPACES)
        self._value(path)

    def _key(self) -> list[tuple[str, Span]]:
        parts = []
        while True:
            self._skip(_SPACES)
            if self._text[self._at] in "\"'":
                span = self._skip(_STRING)
                name = str(tomllib.loads(f"key = {self._text[span.start : span.end]}")["key"])
            else:
                span = self._skip(_BARE_KEY)
                name = self._text[span.start : span.end]
            parts.append((name, span))
            end = self._at
            self._skip(_SPACES)
            if not self._text.startswith(".", self._at):
                self._at = end
                return parts
            self._at += len(".")

    def _value(self, path: ValuePath) -> None:
        start = self._at
        match self._text[start]:
            case '"' | "'":
                self._skip(_STRING)
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case _:
                span = self._skip(_SCALAR)
                self._at = span.start + len(self._text[span.start : span.end].rstrip(" \t"))
        self.index.values[path] = Span(start, self._at)

    def _array(self, path: ValuePath) -> None:
        self._at += len("[")
        self._skip(_BLANK)
        number = 0
        while self._text[self._at] != "]":
            self._value((*path, number))
            number += 1
            self._comma()
        self._at += len("]")

    def _inline_table(self, path: ValuePath) -> None:
        self._at += len("{")
        self._skip(_BLANK)
        while self._text[self._at] != "}":
            self._pair(path)
            self._comma()
        self._at += len("}")

    def _comma(self) -> None:
        self._skip(_BLANK)
        if self._text[self._at] == ",":
            self._at += len(",")
            self._skip(_BLANK)
