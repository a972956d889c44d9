"""What an unknown key was meant to be: a typo, a key of another table, or another tool's name for one of ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from specforge.language.messages import wording
from specforge.language.messages.suggest import nearest
from specforge.language.messages.synonyms import NAMES_OF_USE, OUR_PATHS
from specforge.language.schema.document import SpecDocument

if TYPE_CHECKING:
    from pydantic import BaseModel

    from specforge.language.spec import ValuePath

_MOST_KEYS: Final = 100  # that get advice: looking for a near name takes a while, and nobody reads on
_LONGEST_KEY: Final = 60  # characters of a key that may be a typo
_NEAR_ELSEWHERE: Final = 0.85


class Advisor:
    """Knows all tables of a spec.

    Args:
        tables: path and model of each one.
    """

    def __init__(self, tables: Sequence[tuple[ValuePath, type[BaseModel]]]) -> None:
        self._tables = tables
        self._asked = 0
        self.meant: set[ValuePath] = set()
        """Paths that keys seem to be meant for."""

    def advice(self, path: ValuePath, known: Sequence[str], *, takes_use: bool) -> str:
        """Return the words at an unknown key; empty where nothing is near.

        Args:
            path: the key.
            known: the keys of its table.
            takes_use: whether its table names a component.
        """
        self._asked += 1
        key = str(path[-1])
        if self._asked > _MOST_KEYS or len(key) > _LONGEST_KEY:
            return ""
        for meant, words in self._guesses(key, path[:-1], known, takes_use=takes_use):
            self.meant.add(meant)
            return words
        return ""

    def _guesses(
        self, key: str, here: ValuePath, known: Sequence[str], *, takes_use: bool
    ) -> Iterator[tuple[ValuePath, str]]:
        """Yield what the key may mean with the words for that, best first."""
        folded = key.lower().strip("-").replace("-", "_")
        if folded in known:
            yield (*here, folded), f"did you mean `{folded}`?"
        for home in self._homes(key, here):
            yield (*home, key), f"belongs in {wording.table_name(home)}"
        if here and key in SpecDocument.model_fields:
            yield (key,), "belongs at the top of the file, above the first `[table]`"
        if takes_use and folded in NAMES_OF_USE:
            yield (*here, "use"), "here it is called `use`"
        ours = OUR_PATHS.get(folded)
        if ours is not None and (here == ours[:-1] and ours[-1] in known):
            yield ours, f"here it is called `{ours[-1]}`"
        elif ours is not None and self._exists(ours):
            where = f" in {wording.table_name(ours[:-1])}" if ours[:-1] else ""
            yield ours, f"here it is `{ours[-1]}`{where}"
        near = nearest(key, known)
        if near is not None:
            yield (*here, near), f"did you mean `{near}`?"
        yield from self._near_elsewhere(key, here)

    def _homes(self, key: str, here: ValuePath) -> Iterator[ValuePath]:
        """Yield the other tables that have a key of just this name."""
        names = _names(here)
        return (path for path, model in self._tables if key in model.model_fields and _names(path) != names)

    def _exists(self, ours: ValuePath) -> bool:
        if len(ours) == 1:
            return ours[0] in SpecDocument.model_fields
        return any(path == ours[:-1] and ours[-1] in model.model_fields for path, model in self._tables)

    def _near_elsewhere(self, key: str, here: ValuePath) -> Iterator[tuple[ValuePath, str]]:
        homes = {
            name: path for path, model in self._tables for name in model.model_fields if _names(path) != _names(here)
        }
        near = nearest(key, homes, cutoff=_NEAR_ELSEWHERE)
        if near is not None:
            yield (*homes[near], near), f"did you mean `{near}` in {wording.table_name(homes[near])}?"


def _names(path: ValuePath) -> tuple[str, ...]:
    """Return a path without the indices in it."""
    return tuple(part for part in path if isinstance(part, str))
