"""Points of a sweep in a few words, for tables and lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from specforge.foundation.terminal import printable
from specforge.language.sweeps.names import field_labels, typed_name
from specforge.language.text.toml_text import toml_value

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.spec import Point, Sweep

_LONGEST: Final = 30
_NOT_SET: Final = "-"


def heads(sweep: Sweep) -> list[str]:
    """Return a head for the point and for each field: `point`, `lr`, `search.beam`."""
    labels = field_labels([swept.path for swept in sweep.fields])
    return ["point", *(printable(labels[swept.path], longest=_LONGEST) for swept in sweep.fields)]


def cells(sweep: Sweep, point: Point) -> list[str]:
    """Return the number of a point and its values; a field that it leaves as the spec has it shows `-`."""
    values = (point.values.get(swept.path) for swept in sweep.fields)
    return [str(point.number), *(_NOT_SET if value is None else _short(value) for value in values)]


def in_words(point: Point) -> str:
    """Return the values of a point in a line: `optimizer.lr = 0.001, seed = 2`."""
    texts = (f"{typed_name(path)} = {_short(value)}" for path, value in point.values.items())
    return ", ".join(texts) or "as the spec says"


def values_json(point: Point) -> JsonValue:
    """Return the values of a point: dotted path → value."""
    return {typed_name(path): value for path, value in point.values.items()}


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 point`, `6 points`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def numbers(found: Sequence[int], most: int = 3) -> str:
    """Return a few numbers of points: `2, 3 and 4 more`."""
    shown = ", ".join(map(str, found[:most]))
    return f"{shown} and {len(found) - most} more" if len(found) > most else shown


def _short(value: JsonValue) -> str:
    """Return a value as TOML; a word without its quotes, a table that only names a component as that name."""
    if isinstance(value, dict) and set(value) == {"use"}:
        value = value["use"]
    text = value if isinstance(value, str) else toml_value(value)
    return printable(text, longest=_LONGEST)
