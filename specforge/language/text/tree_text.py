"""The resolved tree of a spec as TOML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from specforge.language.text.toml_text import toml_key, toml_value

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.spec import Spec, ValuePath


def resolved_text(spec: Spec) -> str:
    """Return every value in force, defaults too, as TOML that means the same wherever the data lie at the same place."""
    return "\n".join(TreeText().table((), dict(spec.tree))).strip("\n") + "\n"


class TreeText:
    """Writes all values of a tree."""

    def table(self, path: ValuePath, table: Mapping[str, JsonValue]) -> Iterator[str]:
        """Yield the lines of a table: its own values first, then the tables in it under headers."""
        lines = [line for key, value in table.items() for line in self._lines(path, key, value)]
        inner = [(key, value) for key, value in table.items() if is_table(value)]
        if lines and path:
            yield from ("", self._header(path))
        yield from lines
        for key, value in inner:
            for index, element in enumerate(value if isinstance(value, list) else [value]):
                assert isinstance(element, dict)
                yield from self.table((*path, key, index) if isinstance(value, list) else (*path, key), element)

    def _header(self, path: ValuePath) -> str:
        names = ".".join(toml_key(part) for part in path if isinstance(part, str))
        return f"[[{names}]]" if isinstance(path[-1], int) else f"[{names}]"

    def _lines(self, path: ValuePath, key: str, value: JsonValue) -> Iterator[str]:
        """Yield the line of a value; there is none for a value that is unset."""
        del path
        if value is not None and value != {} and not is_table(value):
            yield f"{toml_key(key)} = {toml_value(value)}"


def is_table(value: JsonValue) -> bool:
    """Return whether a value is written under a header of its own: a table, or an array of tables."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(element, dict) for element in value)
    return isinstance(value, dict)
