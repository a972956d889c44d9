"""Editing a user's file so that nothing but what has to change does: comments, order and spelling stay as they are.

The span index says where keys and values stand, so an edit is a stretch of text that is replaced or cut out. What comes of
it is read again and has to hold exactly the values that were meant, or nothing is saved.
"""

from __future__ import annotations

import codecs
import copy
import re
import sys
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from specforge.foundation.errors import Place, RefusedError
from specforge.language.text.source import decode_source
from specforge.language.text.spans import Span, scan
from specforge.language.text.toml_text import toml_key, toml_value

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib  # the standard library reads TOML 1.0 only before Python 3.15

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.migration.migrations import Former
    from specforge.language.spec import ValuePath
    from specforge.language.text.source import Source
    from specforge.language.text.spans import SpanIndex

_Edit: TypeAlias = tuple[Span, str]

_CR_LF: Final = "\r\n"


def rewritten(raw: bytes, source: Source, formers: Sequence[Former]) -> bytes:
    """Return the bytes of a file with former fields said as they are now.

    Args:
        raw: the file.
        source: what was read from it.
        formers: former fields that stand in it.

    Raises:
        RefusedError: SF131, the file changed meanwhile, or is written in a way that this cannot edit; it is as it was.
    """
    name = source.text.name
    if decode_source(raw, name) != source.text:
        raise RefusedError("SF131", "the file changed while it was read", place=Place(name), help="try again")
    mark = codecs.BOM_UTF8 if raw.startswith(codecs.BOM_UTF8) else b""
    text = raw.removeprefix(mark).decode()
    try:
        for former in formers:
            text = _with(text, former)
        is_right = _same(tomllib.loads(text), _expected(source, formers))
    except (LookupError, tomllib.TOMLDecodeError):
        is_right = False
    if not is_right:
        raise RefusedError(
            "SF131",
            "the file is written in a way that cannot be edited safely; it is as it was",
            place=Place(name, *source.text.line_and_column(formers[0].span.start)),
            help=f"edit it by hand: {'; '.join(dict.fromkeys(former.summary() for former in formers))}",
        )
    return mark + text.encode()


def _with(text: str, former: Former) -> str:
    """Return a document with one former field said as it is now.

    Raises:
        LookupError: the field stands there in a way that we do not know.
        TOMLDecodeError: an edit before this one went wrong.
    """
    plain = text.replace(_CR_LF, "\n")
    tomllib.loads(plain)  # the scanner takes valid documents only
    at = _Positions(text)
    for span, new in sorted(
        _edits(plain, scan(plain), former), reverse=True
    ):  # from the end: the others keep their place
        text = text[: at(span.start)] + new + text[at(span.end) :]
    return text


class _Positions:
    """From positions in a text with LF line ends to positions in the same text as it stands in the file."""

    def __init__(self, text: str) -> None:
        # The nth CR LF is n characters further on than its LF will be.
        self._breaks = [found.start() - nth for nth, found in enumerate(re.finditer(_CR_LF, text))]

    def __call__(self, position: int) -> int:
        return position + bisect_left(self._breaks, position)


def _edits(text: str, index: SpanIndex, former: Former) -> list[_Edit]:
    """Return which stretches of a document are replaced by what."""
    if former.mention and former.typed[0] == "unset":
        return [(index.values[former.typed], toml_value(_dotted(former)))]
    key = index.keys[former.typed]
    if former.renamed is not None:
        is_path = former.mention and "." in str(former.typed[-1])
        return [(key, toml_key(_dotted(former) if is_path else former.renamed))]
    value = index.values[former.typed]
    if not former.present:
        return [(_cut(text, index, former.typed), "")]
    (first, now), *others = former.present.items()
    gap = ", " if former.typed[:-1] in index.values else f"\n{text[_line_start(text, key.start) : key.start]}"
    more = "".join(f"{gap}{toml_key(name)} = {toml_value(each)}" for name, each in others)
    return [(key, toml_key(first)), (value, toml_value(now) + more)]


def _line_start(text: str, position: int) -> int:
    return text.rfind("\n", 0, position) + 1


def _cut(text: str, index: SpanIndex, path: ValuePath) -> Span:
    """Return the stretch to take out with a field: its line with the comment on it, or its part of an inline table."""
    key, value, table = index.keys[path], index.values[path], path[:-1]
    if table not in index.values:
        end = text.find("\n", value.end)
        return Span(_line_start(text, key.start), len(text) if end < 0 else end + 1)
    beside = [span for other, span in index.keys.items() if len(other) == len(path) and other[:-1] == table]
    after = min((span.start for span in beside if span.start > key.start), default=None)
    if after is not None:
        return Span(key.start, after)
    inside = [span for other, span in index.values.items() if len(other) >= len(path) and other[: len(table)] == table]
    return Span(max((span.end for span in inside if span.end <= key.start), default=key.start), value.end)


def _dotted(former: Former) -> str:
    return ".".join(map(str, (*former.table, former.renamed)))


def _expected(source: Source, formers: Sequence[Former]) -> JsonValue:
    """Return the values that the file has to hold in the end."""
    data = copy.deepcopy(source.data)
    for former in formers:
        holder: JsonValue = data
        for part in former.typed[:-1]:
            holder = (
                holder[cast("int", part)]
                if isinstance(holder, list)
                else cast("dict[str, JsonValue]", holder)[str(part)]
            )
        last = former.typed[-1]
        if former.mention and former.typed[0] == "unset":
            cast("dict[str | int, JsonValue]", holder)[last] = _dotted(former)
            continue
        table = cast("dict[str, JsonValue]", holder)
        value = table.pop(str(last))
        if former.mention:
            table[_dotted(former) if "." in str(last) else str(former.renamed)] = value
        else:
            table.update(former.present)
    return data


def _same(one: object, other: object) -> bool:
    """Return whether two values are equal and of equal types, which `==` does not ask of 1, 1.0 and true.

    An empty table says as much as none: one that was only there by the dotted key of a field goes with it.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        one, other = ({key: value for key, value in each.items() if value != {}} for each in (one, other))
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other
