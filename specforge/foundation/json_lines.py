"""A line of JSON that a user wrote."""

from __future__ import annotations

import json
from dataclasses import replace

from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.terminal import printable


def json_value(line: str, place: Place) -> object:
    """Return what a line of JSON says.

    Args:
        line: of a file.
        place: where it stands.

    Raises:
        WrongInputError: SF505, it is no JSON, or an object has a key twice: nobody could say which of them is meant.
    """
    try:
        return json.loads(line, object_pairs_hook=_told_once)
    except json.JSONDecodeError as error:
        message, place = f"not a line of JSON: {error.msg.lower()}", replace(place, column=error.colno)
    except _ToldTwiceError as error:
        message = f"`{printable(str(error))}` stands there twice"
    except (ValueError, RecursionError) as error:
        message = f"not a line of JSON: {printable(str(error)).lower()}"
    raise WrongInputError("SF505", message, place=place)


class _ToldTwiceError(Exception):
    """A key that stands in an object twice."""


def _told_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _ToldTwiceError(next(key for key in keys if keys.count(key) > 1))
    return values
