"""Diagnostics: what is wrong with a spec, where, and what to type instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from specforge.foundation.errors import Place, SpecforgeError, WrongInputError

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.text.spans import SourceText, Span


@dataclass(frozen=True, slots=True)
class Label:
    """A stretch of a source with a few words on it.

    Args:
        source: the text that it stands in.
        span: the stretch; None for the source as a whole.
        text: what to say under it, lower case, no final stop; may be empty.
        primary: whether this is where the diagnostic is; the others explain it.
    """

    source: SourceText
    span: Span | None
    text: str = ""
    primary: bool = True

    @property
    def place(self) -> Place:
        """File, line and column of its first character."""
        if self.span is None:
            return Place(self.source.name)
        return Place(self.source.name, *self.source.line_and_column(self.span.start))

    def as_json(self) -> dict[str, JsonValue]:
        """Return the label as JSON; lines and columns count from 1, the end column is the one behind the last."""
        start = end = (None, None) if self.span is None else self.source.line_and_column(self.span.start)
        if self.span is not None:
            end = self.source.line_and_column(self.span.end)
        return {
            "file": self.source.name,
            "line": start[0],
            "column": start[1],
            "end_line": end[0],
            "end_column": end[1],
            "text": self.text,
            "primary": self.primary,
        }


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong (an error) or legal and odd (a warning).

    Args:
        code: stable code, `SFxxx`.
        message: one lower-case sentence without a final stop that can be read alone.
        labels: where; the primary one first.
        notes: further facts, one sentence each.
        help: what to do instead.
    """

    code: str
    message: str
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str | None = None
    severity: Literal["error", "warning"] = "error"

    @property
    def place(self) -> Place | None:
        """Where it is: the place of its first label."""
        return self.labels[0].place if self.labels else None

    def as_json(self) -> dict[str, JsonValue]:
        """Return the diagnostic as JSON values."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "labels": [label.as_json() for label in self.labels],
            "notes": list(self.notes),
            "help": self.help,
        }


MOST_SHOWN: Final = 50
"""Diagnostics of a spec that are shown; beyond, a person mends what there is and asks again."""


class SpecError(WrongInputError):
    """A spec that cannot be used, with everything that is wrong with it.

    Args:
        diagnostics: at least one, in the order in which they are shown; as many as people read are kept.

    Attributes:
        diagnostics: those that are shown.
        omitted: how many there are besides.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        first = diagnostics[0]
        super().__init__(first.code, first.message, place=first.place, notes=first.notes, help=first.help)
        self.diagnostics = tuple(diagnostics[:MOST_SHOWN])
        self.omitted = max(0, len(diagnostics) - MOST_SHOWN)


def in_order(diagnostics: Sequence[Diagnostic], rank: Callable[[SourceText], int]) -> tuple[Diagnostic, ...]:
    """Return diagnostics sorted by source and position.

    Args:
        diagnostics: in any order; what has no place comes first.
        rank: place of a source among the others.
    """

    def position(diagnostic: Diagnostic) -> tuple[int, int]:
        if not diagnostic.labels:
            return -1, -1
        label = diagnostic.labels[0]
        return rank(label.source), label.span.start if label.span else -1

    return tuple(sorted(diagnostics, key=position))


def render(diagnostics: Sequence[Diagnostic], *, omitted: int = 0, colour: bool = False) -> str:
    """Draw diagnostics for people, with the lines that they are about, and count them in a last line (without its end).

    Args:
        diagnostics: what is shown.
        omitted: how many errors there are besides.
        colour: whether to paint it.
    """
    from specforge.language.messages.drawing import Pen, draw_diagnostic, draw_summary  # only where something is wrong

    pen = Pen(colour)
    parts = [draw_diagnostic(diagnostic, pen) for diagnostic in diagnostics]
    return "\n\n".join([*parts, draw_summary(diagnostics, omitted, pen)])


def render_error(error: SpecforgeError, *, colour: bool = False) -> str:
    """Draw any of our errors in the manner of a diagnostic; those of a `SpecError` all of them."""
    from specforge.language.messages.drawing import Pen, draw_error

    if isinstance(error, SpecError):
        return render(error.diagnostics, omitted=error.omitted, colour=colour)
    return draw_error(error, Pen(colour))
