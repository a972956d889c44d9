"""What points of a sweep are called: short names for people that can name a folder, the same wherever a sweep is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from specforge.foundation.terminal import printable
from specforge.language.naming import nameable, shortened

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.spec import ValuePath

_EXPONENT: Final = re.compile(r"e([+-]?)0*")


def typed_name(path: ValuePath) -> str:
    """Return a path as `[sweep]` and `--set` take it: `generate.metrics.0.tokenize`."""
    return ".".join(printable(str(part)) for part in path)


def field_labels(paths: Sequence[ValuePath]) -> dict[ValuePath, str]:
    """Return for each path its shortest ending that no other path has: `lr`, `search.beam`.

    The `use` of a component stands for the component: `model.use` is called `model`.
    """
    shown = {path: tuple(map(str, path[:-1] if path[-1:] == ("use",) and len(path) > 1 else path)) for path in paths}
    labels: dict[ValuePath, str] = {}
    for path, parts in shown.items():
        others = [other for known, other in shown.items() if known != path]
        length = next(
            (size for size in range(1, len(parts)) if all(other[-size:] != parts[-size:] for other in others)),
            len(parts),
        )
        # a number alone says nothing of a list's element
        while length < len(parts) and parts[-length].isdecimal():
            length += 1
        labels[path] = ".".join(parts[-length:])
    return labels


def point_name(base: str, values: Mapping[ValuePath, JsonValue], labels: Mapping[ValuePath, str]) -> str:
    """Return the name of a point: `base.lr-0.0005.dropout-0.1`, cut where it would be too long.

    Args:
        base: name of the spec.
        values: what the point sets.
        labels: what `field_labels` calls the fields of the sweep.
    """
    parts = [f"{_nameable(labels[path])}-{_value(value)}" for path, value in values.items()]
    return shortened(".".join([base, *parts]))


def _value(value: JsonValue) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float():
            return _EXPONENT.sub(lambda found: f"e{found[1].strip('+')}", repr(value))
        case list():
            return "_".join(map(_value, value)) or "none"
        case dict():
            pairs = sorted(value.items(), key=lambda pair: pair[0] != "use")
            return "_".join(_value(item) if key == "use" else f"{_nameable(key)}-{_value(item)}" for key, item in pairs)
        case _:
            return _nameable(str(value))


def _nameable(text: str) -> str:
    return nameable(text) or "none"
