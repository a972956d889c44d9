"""Values as TOML text, in the one spelling that we write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import JsonValue

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_LAST_OF_FOUR_DIGITS: Final = 0xFFFF
_GROUPED: Final = 10_000  # from here on, digits are read more easily in groups


def toml_key(key: str) -> str:
    """Return a key, in quotes where it needs them."""
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def toml_value(value: JsonValue) -> str:
    """Return a value on one line.

    Raises:
        ValueError: the value is or holds None, which TOML does not have.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:_}" if abs(value) >= _GROUPED else str(value)
        case float():
            return repr(value)
        case str():
            return _string(value)
        case list():
            return f"[{', '.join(toml_value(item) for item in value)}]"
        case dict():
            pairs = ", ".join(
                f"{toml_key(key)} = {toml_value(item)}" for key, item in value.items() if item is not None
            )
            return f"{{ {pairs} }}" if pairs else "{}"
    message = "TOML has no null"
    raise ValueError(message)


def toml_document(table: Mapping[str, JsonValue]) -> str:
    """Return a document: values first, then tables under headers of their own; what is None or an empty table is left out."""
    return "\n".join(_lines(table, ())).lstrip("\n") + "\n"


def _lines(table: Mapping[str, JsonValue], path: tuple[str, ...]) -> Iterator[str]:
    for key, value in table.items():
        if value is not None and not _has_header(value):
            yield f"{toml_key(key)} = {toml_value(value)}"
    for key, value in table.items():
        here = (*path, toml_key(key))
        if isinstance(value, dict):
            inner = list(_lines(value, here))
            if inner and inner[0]:  # values of its own; else the headers inside it say enough
                yield from ("", f"[{'.'.join(here)}]")
            yield from inner
        elif isinstance(value, list) and _has_header(value):
            for element in value:
                assert isinstance(element, dict)
                yield from ("", f"[[{'.'.join(here)}]]", *_lines(element, here))


def _has_header(value: JsonValue) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(element, dict) for element in value)
    return isinstance(value, dict)


def _string(text: str) -> str:
    """Return a basic string; what could not be told apart on a screen, or would move its cursor, is escaped."""
    quoted = json.dumps(text, ensure_ascii=False)  # a JSON string is a TOML string but for DEL, which is not printable
    return quoted if quoted.isprintable() else "".join(_escaped(character) for character in quoted)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    point = ord(character)
    return f"\\u{point:04x}" if point <= _LAST_OF_FOUR_DIGITS else f"\\U{point:08x}"
