"""Values as TOML text, in the one spelling that we write."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import JsonValue

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
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


def _string(text: str) -> str:
    # A JSON string is a TOML string but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
