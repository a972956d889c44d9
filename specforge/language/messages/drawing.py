"""Draws diagnostics in the manner of rustc: the line as typed, a caret under what is meant, words beside it.

    error[SF101]: unknown key `droput` in [model]
      --> specs/wmt.toml:31:1
       |
    31 | droput = 0.3
       | ^^^^^^ did you mean `dropout`?
       = help: `specforge components model transformer` lists its keys

Everything that comes from a file is escaped, and columns are counted as a terminal draws them.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Final

from specforge.foundation.errors import SpecforgeError
from specforge.foundation.terminal import printable
from specforge.language.messages.diagnostics import Diagnostic, Label

_TAB: Final = 4
_WIDEST: Final = 140  # columns of a source line that are shown; a longer one is shown around its labels
_BEFORE: Final = 60  # columns kept before the first label of a line that is cut
_LONGEST_TEXT: Final = 1_000

_STYLES: Final = {
    "error": "\x1b[1;31m",
    "warning": "\x1b[1;33m",
    "bold": "\x1b[1m",
    "frame": "\x1b[1;34m",
    "secondary": "\x1b[1;34m",
}


@dataclass(frozen=True, slots=True)
class Pen:
    """Paints words, or leaves them plain."""

    colour: bool

    def __call__(self, style: str, text: str) -> str:
        """Return the text in a style."""
        return f"{_STYLES[style]}{text}\x1b[0m" if self.colour and text else text


def draw_diagnostic(diagnostic: Diagnostic, pen: Pen) -> str:
    """Return a diagnostic as lines, without the last line end."""
    numbers = [label.place.line for label in diagnostic.labels]
    margin = " " * max((len(str(number)) for number in numbers if number is not None), default=1)
    lines = [_title(diagnostic.severity, diagnostic.code, diagnostic.message, pen)]
    for nth, (_, labels) in enumerate(groupby(diagnostic.labels, key=lambda label: label.source)):
        lines += _window(list(labels), "-->" if nth == 0 else ":::", margin, diagnostic.severity, pen)
    return "\n".join([*lines, *_remarks(diagnostic.notes, diagnostic.help, margin, pen)])


def draw_error(error: SpecforgeError, pen: Pen) -> str:
    """Return an error that is not about a spec as lines, without the last line end."""
    lines = [_title("error", error.code, error.message, pen)]
    if error.place is not None:
        lines.append(f" {pen('frame', '-->')} {_clean(str(error.place))}")
    return "\n".join([*lines, *_remarks(error.notes, error.help, " ", pen)])


def draw_summary(diagnostics: Sequence[Diagnostic], omitted: int, pen: Pen) -> str:
    """Return the last line: how many errors and warnings, and in which files.

    Args:
        diagnostics: those that were drawn.
        omitted: how many errors there are besides.
        pen: paints the line.
    """
    numbers = Counter(diagnostic.severity for diagnostic in diagnostics)
    numbers["error"] += omitted
    counts = [
        f"{count:,} {severity}{'' if count == 1 else 's'}"
        for severity in ("error", "warning")
        if (count := numbers[severity])
    ]
    files = dict.fromkeys(diagnostic.labels[0].source.name for diagnostic in diagnostics if diagnostic.labels)
    severity = "error" if any(diagnostic.severity == "error" for diagnostic in diagnostics) else "warning"
    where = f" in {_clean(', '.join(files))}" if files else ""
    shown = f", of which the first {len(diagnostics)} are shown" if omitted else ""
    return pen(severity, severity) + pen("bold", f": {' and '.join(counts)}{where}{shown}")


def _title(severity: str, code: str, message: str, pen: Pen) -> str:
    return pen(severity, f"{severity}[{code}]") + pen("bold", f": {_clean(message)}")


def _remarks(notes: Sequence[str], help_text: str | None, margin: str, pen: Pen) -> Iterator[str]:
    for kind, text in (*(("note", note) for note in notes), *((("help", help_text),) if help_text else ())):
        yield f"{margin} {pen('frame', '=')} {pen('bold', kind + ':')} {_clean(text)}"


def _clean(text: str) -> str:
    return printable(text, longest=_LONGEST_TEXT)


def _window(labels: Sequence[Label], arrow: str, margin: str, severity: str, pen: Pen) -> Iterator[str]:
    """Yield the part of a diagnostic that is about one source: where it is, then the lines with their labels."""
    first = next((label for label in labels if label.primary), labels[0])
    yield f"{margin}{pen('frame', arrow)} {_clean(str(first.place))}"
    placed = sorted((label for label in labels if label.span is not None), key=lambda label: label.place.line or 0)
    if not placed:
        return
    bar = pen("frame", "|")
    yield f"{margin} {bar}"
    previous = None
    for number, group in groupby(placed, key=lambda label: label.place.line or 0):
        if previous is not None and number > previous + 1:
            yield pen("frame", "...")
        previous = number
        here = sorted(group, key=lambda label: label.place.column or 0)
        line = _DrawnLine(here[0].source.line(number), min(label.place.column or 1 for label in here))
        yield f"{pen('frame', f'{number:>{len(margin)}}')} {bar} {line.text}".rstrip()
        for label in here:
            style, mark = (severity, "^") if label.primary else ("secondary", "-")
            before, width = line.columns(label)
            words = f"{mark * width} {_clean(label.text)}".rstrip()
            yield f"{margin} {bar} {' ' * before}{pen(style, words)}"


class _DrawnLine:
    """A source line as a terminal shows it, cut to what fits around its labels.

    Args:
        raw: the line.
        column: column from 1 of the first label on it, which will be in view.
    """

    def __init__(self, raw: str, column: int) -> None:
        self._skipped = max(0, column - 1 - _BEFORE) if len(raw) > _WIDEST else 0
        raw = raw[self._skipped :]
        cells = [" " * _TAB if character == "\t" else printable(character) for character in raw[: _WIDEST + 1]]
        ends = [0, *accumulate(sum(map(_width, cell)) for cell in cells)]
        shown = bisect_right(ends, _WIDEST) - 1  # characters that fit
        lead = "…" if self._skipped else ""
        self._ends = [len(lead) + end for end in ends[: shown + 1]]
        self.text = lead + "".join(cells[:shown]) + ("…" if shown < len(raw) else "")

    def columns(self, label: Label) -> tuple[int, int]:
        """Return how many columns stand before a label, and how many it is wide; a label ends with its first line."""
        assert label.span is not None
        last = len(self._ends) - 1
        index = (label.place.column or 1) - 1 - self._skipped
        start = self._ends[min(index, last)]
        end = self._ends[min(index + label.span.end - label.span.start, last)]
        return start, max(1, end - start)


def _width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
