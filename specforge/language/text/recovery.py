"""Reading on behind a mistake, so that one slip in the syntax does not hide the others, nor what is wrong with values.

A statement that stands on one line is the only thing that is stepped over: its value is replaced by one that no spec takes,
so that it counts as given and wrong. Where a mistake may reach over lines, or moves keys to another table, reading ends.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

from specforge.language.text.spans import SourceText, Span
from specforge.language.text.syntax import not_toml

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib  # the standard library reads TOML 1.0 only before Python 3.15

if TYPE_CHECKING:
    from specforge.language.messages.diagnostics import Diagnostic

MOST_SLIPS: Final = 10
"""Mistakes of syntax that are told at once; each costs another parse."""

_STATEMENT: Final = re.compile(r"([ \t]*(?:[A-Za-z0-9_-]+|\"[^\"\\\n]*\")(?:[ \t]*\.[ \t]*[A-Za-z0-9_-]+)*)[ \t]*=")
_NO_VALUE: Final = "nan"  # TOML, and nothing that a spec may hold
_TWICE: Final = "Cannot overwrite a value"


class Stumbled(Exception):  # noqa: N818  # no fault of ours: the text cannot be read to its end
    """Reading ended before the text did.

    Args:
        diagnostics: what was wrong up to there.
    """

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        super().__init__()
        self.diagnostics = diagnostics


def read_past(text: SourceText) -> tuple[dict[str, object], SourceText, list[Diagnostic], list[Span]]:
    """Parse a text that holds mistakes.

    Args:
        text: within limits, not TOML.

    Returns:
        Its values, the text that they were read from (positions are the same in both), what is wrong, and where in it values
        stand that were put in place of wrong ones.

    Raises:
        Stumbled: the text cannot be read to its end.
    """
    patched = text.text
    slips: list[Diagnostic] = []
    replaced: list[Span] = []
    while True:
        try:
            return tomllib.loads(patched), SourceText(text.name, patched), slips, replaced
        except tomllib.TOMLDecodeError as error:
            slip = not_toml(SourceText(text.name, patched), error)
            step = _step_over(patched, error) if len(slips) < MOST_SLIPS else None
        slips.append(_in_text(slip, text))
        if step is None:
            raise Stumbled(slips)
        patched, value = step
        replaced += [] if value is None else [value]


def _step_over(text: str, error: tomllib.TOMLDecodeError) -> tuple[str, Span | None] | None:
    """Return the text without the statement of a mistake, and where a value stands in its place; None where that is unsafe."""
    position = min(error.pos, len(text))
    if error.msg.startswith(_TWICE):
        position = max(position - 1, 0)
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    end = len(text) if end < 0 else end
    found = _STATEMENT.match(text, start, end)
    if found is None or not _is_one_line(text, start, text[found.end() : end]):
        return None
    if error.msg.startswith(_TWICE):  # the first one stays
        return text[:start] + " " * (end - start) + text[end:], None
    room = end - found.end(1) - len("=")
    if room < len(_NO_VALUE) or text[found.end() : end].strip() == _NO_VALUE:
        return None
    return f"{text[: found.end(1)]}={_NO_VALUE.rjust(room)}{text[end:]}", Span(end - len(_NO_VALUE), end)


def _is_one_line(text: str, start: int, value: str) -> bool:
    """Return whether a statement begins with its line, outside of everything, and cannot reach into the next one."""
    balanced = all(value.count(opening) == value.count(closing) for opening, closing in ("[]", "{}", "()"))
    if not balanced or '"""' in value or "'''" in value:
        return False
    try:
        tomllib.loads(text[:start])
    except tomllib.TOMLDecodeError:
        return False
    return True


def _in_text(slip: Diagnostic, text: SourceText) -> Diagnostic:
    """Return a diagnostic that shows the text as it was typed."""
    from dataclasses import replace  # only where something is wrong

    return replace(slip, labels=tuple(replace(label, source=text) for label in slip.labels))
