"""Lines that are to be translated, as they are typed or as JSON objects that say more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.json_lines import json_value
from specforge.foundation.terminal import printable

InputFormat: TypeAlias = Literal["text", "jsonl"]

LINE_ENDS: Final = str.maketrans("\n\r", "  ")
"""What becomes a space wherever one line stands for one text."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line to be translated.

    Args:
        text: the source; holds no LF.
        prefix: what the output begins with.
        constraints: phrases that stand in the output.
        id: whose it is: given back with the output; None where nobody said.
    """

    text: str
    prefix: str = ""
    constraints: tuple[str, ...] = ()
    id: str | int | None = None


def text_line(text: str, place: Place) -> Line:
    """Return a line of text as it is."""
    del place
    return Line(text)


def json_line(text: str, place: Place) -> Line:
    """Return the line that a JSON object stands for: `text`, and perhaps `prefix`, `constraints` and `id`.

    Args:
        text: a line of JSON.
        place: where it stands.

    Raises:
        WrongInputError: SF505, it is no such object, or has a key that means nothing.
    """
    values = _json_object(text, place)
    unknown = [key for key in values if key not in _KEYS]
    if unknown:
        known = ", ".join(f"`{key}`" for key in _KEYS)
        message = f"`{printable(unknown[0])}` means nothing in a line to be translated"
        raise WrongInputError("SF505", message, place=place, help=f"a line has {known}")
    if "text" not in values:
        listed = ", ".join(f"`{printable(key)}`" for key in values) or "no keys"
        raise WrongInputError("SF505", "no `text` in the line", place=place, notes=(f"the object has {listed}",))
    for key, value in values.items():
        if not _KEYS[key].fits(value):
            message = f"`{key}` is not {_KEYS[key].what}"
            raise WrongInputError("SF505", message, place=place)
    constraints = values.get("constraints", [])
    assert isinstance(constraints, list)
    given = values.get("id")
    return Line(
        text=_one_line(values["text"]),
        prefix=_one_line(values.get("prefix", "")),
        constraints=tuple(_one_line(each) for each in constraints),
        id=given if isinstance(given, str | int) else None,
    )


PARSERS: Final[Mapping[InputFormat, Callable[[str, Place], Line]]] = MappingProxyType(
    {"text": text_line, "jsonl": json_line}
)
"""How a line of each format is read."""


@dataclass(frozen=True, slots=True)
class _Key:
    """What stands under a key.

    Args:
        what: in words.
        fits: whether a value is that.
    """

    what: str
    fits: Callable[[object], bool]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _is_phrases(value: object) -> bool:
    return isinstance(value, list) and all(_is_text(each) and each.strip() for each in value)


def _is_name(value: object) -> bool:
    return _is_text(value) or (isinstance(value, int) and not isinstance(value, bool))


_KEYS: Final[Mapping[str, _Key]] = {
    "text": _Key("a text", _is_text),
    "prefix": _Key("a text", _is_text),
    "constraints": _Key("a list of texts that are not blank", _is_phrases),
    "id": _Key("a text or a whole number", _is_name),
}


def _json_object(text: str, place: Place) -> dict[str, object]:
    values = json_value(text, place)
    if not isinstance(values, dict):
        example = 'like {"text": "Two men cook."}'
        raise WrongInputError("SF505", "a line is a JSON object", place=place, help=example)
    return values


def _one_line(text: object) -> str:
    return str(text).translate(LINE_ENDS)
