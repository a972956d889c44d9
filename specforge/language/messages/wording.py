"""Plain words for what a check expected, and for what it found."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from specforge.foundation.terminal import printable
from specforge.language.messages.suggest import nearest
from specforge.language.text.toml_text import toml_value

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib  # the standard library reads TOML 1.0 only before Python 3.15

if TYPE_CHECKING:
    from pydantic import JsonValue, ValidationError
    from pydantic_core import ErrorDetails

    from specforge.language.spec import ValuePath

WHOLE_NUMBER: Final = "a whole number"
NUMBER: Final = "a number"
BOOLEAN: Final = "true or false"
STRING: Final = "a string"
ARRAY: Final = "an array"
TABLE: Final = "a table"

_BARE: Final = re.compile(r"[A-Za-z0-9_.+-]{1,40}")

_QUOTED: Final = re.compile(r"'([^']*)'")

_CHOICES: Final = frozenset({"literal_error", "enum"})

_TYPES: Final[Mapping[str, str]] = {
    "int_type": WHOLE_NUMBER,
    "int_from_float": WHOLE_NUMBER,
    "int_parsing": WHOLE_NUMBER,
    "float_type": NUMBER,
    "float_parsing": NUMBER,
    "bool_type": BOOLEAN,
    "bool_parsing": BOOLEAN,
    "string_type": STRING,
    "list_type": ARRAY,
    "tuple_type": ARRAY,
    "set_type": ARRAY,
    "frozen_set_type": ARRAY,
    "dict_type": TABLE,
    "mapping_type": TABLE,
    "model_type": TABLE,
    "model_attributes_type": TABLE,
    "none_required": "left out",
}

_LIMITS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than": ("greater than {}", "gt"),
    "greater_than_equal": ("at least {}", "ge"),
    "less_than": ("less than {}", "lt"),
    "less_than_equal": ("at most {}", "le"),
    "multiple_of": ("a multiple of {}", "multiple_of"),
    "string_pattern_mismatch": ("text that matches {}", "pattern"),
}

_LENGTHS: Final[Mapping[str, tuple[str, str, str]]] = {
    "string_too_short": ("at least", "min_length", "character"),
    "string_too_long": ("at most", "max_length", "character"),
    "too_short": ("at least", "min_length", "element"),
    "too_long": ("at most", "max_length", "element"),
}


def expected_type(error_type: str) -> str | None:
    """Return what type an error of pydantic asks for, or None where the type was right."""
    return _TYPES.get(error_type)


@dataclass(frozen=True, slots=True)
class WrongValue:
    """What to say of a wrong value.

    Args:
        message: the sentence.
        label: the words at the value.
        help: what to type instead.
        is_type: whether it has a wrong type, and not only wrong content.
    """

    message: str
    label: str
    help: str | None
    is_type: bool


def wrong_value(name: str, key: str, value: JsonValue, errors: Sequence[ErrorDetails], shape: str | None) -> WrongValue:
    """Return what to say of a value.

    Args:
        name: its dotted path.
        key: the last part of that.
        value: what was found.
        errors: what pydantic says of it, for each type that it may have.
        shape: what may stand here, in words, where it takes a shorthand or follows a pattern.
    """
    content = [error for error in errors if error["type"] not in {*_TYPES, *_CHOICES}]
    if content:  # one of its types is right, so the others do not matter
        return _wrong_content(name, content[0], shape)
    choices = [error for error in errors if error["type"] in _CHOICES]
    types = [_TYPES[error["type"]] for error in errors if error["type"] in _TYPES]
    options = [str(error.get("ctx", {}).get("expected", "")) for error in choices]
    wanted = shape or " or ".join(dict.fromkeys([*types, *(option.replace("'", '"') for option in options)]))
    message = f"`{name}` must be {wanted}"
    if choices and isinstance(value, str | int) and not isinstance(value, bool):
        from specforge.language.messages.synonyms import OUR_VALUES  # only where something is wrong

        known = _QUOTED.findall(" ".join(options))
        ours = OUR_VALUES.get(str(value).lower())
        near = ours if ours in known else nearest(str(value), known)
        return WrongValue(message, "", f'did you mean `"{near}"`?' if near else None, is_type=False)
    fixes = (_shaped(name, key, value) if shape else None, *(rewritten(key, value, each) for each in types))
    fix = next(filter(None, fixes), None)
    return WrongValue(message, f"this is {found(value)}", fix, is_type=True)


def _shaped(name: str, key: str, value: JsonValue) -> str | None:
    """Return how to write a value that takes a shorthand, where that is plain."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        return f"write `[{name}]`, in single brackets"
    if isinstance(value, int) and not isinstance(value, bool) and key.endswith("_every"):
        return f'write `{key} = "{value} updates"`'
    return None


def _wrong_content(name: str, error: ErrorDetails, shape: str | None) -> WrongValue:
    context = error.get("ctx", {})
    wanted = shape if error["type"] == "string_pattern_mismatch" and shape else _wanted_content(error["type"], context)
    help_text = str(context["help"]) if "help" in context else None
    if wanted is None:
        reason = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        return WrongValue(f"`{name}`: {reason[:1].lower()}{reason[1:]}", "", help_text, is_type=False)
    return WrongValue(f"`{name}` must be {wanted}", "", help_text, is_type=False)


def _wanted_content(error_type: str, context: Mapping[str, object]) -> str | None:
    """Return what a value of the right type must be, to follow "must be"; None for an error that we have no words for."""
    if error_type in _LIMITS:
        words, name = _LIMITS[error_type]
        return words.format(_plain(context.get(name)))
    if error_type in _LENGTHS:
        words, name, unit = _LENGTHS[error_type]
        count = context.get(name)
        return f"{words} {count} {unit}{'' if count == 1 else 's'} long"
    return "a finite number" if error_type == "finite_number" else None


def found(value: JsonValue) -> str:
    """Return what kind of value somebody typed."""
    match value:
        case bool():
            return "a boolean"
        case int():
            return WHOLE_NUMBER
        case float():
            return "a floating-point number"
        case str():
            return STRING
        case list():
            return ARRAY
        case dict():
            return TABLE
    return "nothing"


def rewritten(key: str, value: JsonValue, expected: str) -> str | None:
    """Return how to write a value of the wrong type, where that is plain: `write `lr = 3``."""
    if isinstance(value, str) and ("${" in value or "{{" in value):
        return "a spec has no variables: write the value, or give it with `--set`"
    if isinstance(value, str) and _BARE.fullmatch(value) and expected in {WHOLE_NUMBER, NUMBER, BOOLEAN}:
        try:
            typed: object = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            return None
        right = isinstance(typed, bool) if expected == BOOLEAN else type(typed) in {int, float}
        return f"write `{key} = {value}`, without quotes" if right else None
    if isinstance(value, float) and value.is_integer() and expected == WHOLE_NUMBER:
        return f"write `{key} = {toml_value(int(value))}`, a whole number"
    if expected == STRING and isinstance(value, bool | int | float):
        return f'write `{key} = "{json.dumps(value)}"`, in quotes'
    return None


def dotted(path: ValuePath) -> str:
    """Return a path as people write it: `data.train[1].weight`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{printable(part)}" if text else printable(part)
    return text


def table_name(path: ValuePath) -> str:
    """Return how people call a table: `[model]`, `[generate.search]`; the root has no name of its own."""
    names = [printable(part) for part in path if isinstance(part, str)]
    return f"[{'.'.join(names)}]" if names else "the root table"


def _plain(value: object) -> str:
    """Return a number as a spec writes it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:  # noqa: PLR2004  # beyond, digits are noise
        return str(int(value))
    return str(value)


def first_fault(error: ValidationError) -> str:
    """Return where a file that we wrote does not hold what it should, and what is wrong there."""
    first = error.errors()[0]
    where = printable(".".join(str(part) for part in first["loc"]))
    return f"`{where}`: {first['msg'].lower()}"
