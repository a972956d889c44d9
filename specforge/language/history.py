"""What every layer of a spec says about a value, what was overruled or removed included.

`Spec.origins` holds what led to the value in force. Whoever asks where a value comes from also wants to know what he wrote in
vain: what an `unset` removed, and what went with a table that another component replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from specforge.language.layers import Layer, read_layers

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.foundation.errors import Place
    from specforge.language.spec import ValuePath


@dataclass(frozen=True, slots=True)
class Statement:
    """What one layer says about a value.

    Args:
        layer: `spec` for a file, `set` for a `--set` argument.
        value: as it stands there.
        place: where it stands.
        source: the file as typed, or the argument of `--set`.
        extended: where another file extends the one that it stands in; None in the spec itself and in `--set`.
        removed: where an `unset` removes it.
        replaced: what a stronger layer puts in the place of the whole table or list that it belongs to.
    """

    layer: Literal["spec", "set"]
    value: JsonValue
    place: Place
    source: str
    extended: Place | None = None
    removed: Place | None = None
    replaced: Place | None = None

    @property
    def counts(self) -> bool:
        """Whether it is in force where no stronger layer says something else."""
        return self.removed is None and self.replaced is None


class Statements:
    """The layers of a spec, to be asked for what they say.

    Args:
        path: the spec file as typed.
        assignments: the arguments of `--set`, in order.

    Raises:
        SpecError: the file cannot be read.
    """

    def __init__(self, path: Path, assignments: Sequence[str] = ()) -> None:
        self._layers = read_layers(path, assignments).layers
        self._extending = {name: place for layer in self._layers for name, place in _extended(layer)}

    def about(self, path: ValuePath) -> tuple[Statement, ...]:
        """Return what the layers say about a value, strongest first.

        Args:
            path: of the value in the normalised tree.
        """
        walk = _Walk(path)
        for layer in self._layers:
            walk.pass_over(layer)
            walk.statements += [self._statement(layer, path, value) for value in layer.found(path)]
        return tuple(reversed(walk.statements))

    def removals(self, path: ValuePath) -> tuple[Place, ...]:
        """Return the `unset`s of a value, or of what it belongs to, strongest first."""
        found = (_unset_at(layer, path) for layer in reversed(self._layers))
        return tuple(place for place in found if place is not None)

    def _statement(self, layer: Layer, path: ValuePath, value: JsonValue) -> Statement:
        source = layer.source
        typed = source.text.text if source.layer == "set" else source.text.name
        return Statement(source.layer, value, layer.label(path).place, typed, self._extending.get(source.text.name))


class _Walk:
    """A way through the layers, weakest first, that knows what each one does to the statements below.

    Args:
        path: of the value that the statements are about.
    """

    def __init__(self, path: ValuePath) -> None:
        self._path = path
        self._around = [path[:length] for length in range(1, len(path))]
        self._below: dict[ValuePath, JsonValue] = {}  # what the last layer that says something says around the value
        self.statements: list[Statement] = []

    def pass_over(self, layer: Layer) -> None:
        """End the statements that a layer removes or replaces."""
        removed = _unset_at(layer, self._path)
        if removed is not None:
            self._end(lambda statement: replace(statement, removed=removed))
            self._below = {path: value for path, value in self._below.items() if _unset_at(layer, path) is None}
        replaced = None if layer.contains(self._path) else self._replaced(layer)
        if replaced is not None:
            self._end(lambda statement: replace(statement, replaced=replaced))
        for path in self._around:
            for known in (path, (*path, "use")):
                for value in layer.found(known):
                    self._below[known] = value

    def _end(self, ended: Callable[[Statement], Statement]) -> None:
        self.statements = [ended(statement) if statement.counts else statement for statement in self.statements]

    def _replaced(self, layer: Layer) -> Place | None:
        """Return where a layer that says nothing about the value replaces a table or list around it."""
        for path in self._around:
            for value in layer.found(path):
                if path in layer.document.whole or (isinstance(value, list) and not self._merges(layer, path)):
                    return layer.label(path).place
            use = (*path, "use")
            if any(self._below.get(use, name) != name for name in layer.found(use)):
                return layer.label(use).place
        return None

    def _merges(self, layer: Layer, path: ValuePath) -> bool:
        """Return whether one table in the place of a list merges with the only one below."""
        below = self._below.get(path)
        return path in layer.document.single and isinstance(below, list) and len(below) == 1


def _extended(layer: Layer) -> Iterator[tuple[str, Place]]:
    """Yield the files that a layer extends, as diagnostics call them, and where it does."""
    source = layer.source
    value = source.data.get("extends", [])
    for index, name in enumerate(value if isinstance(value, list) else [value]):
        path: ValuePath = ("extends", index) if isinstance(value, list) else ("extends",)
        if isinstance(name, str) and source.layer == "spec":
            folder = os.path.dirname(source.text.name)  # noqa: PTH120  # pathlib would drop a `./`
            yield os.path.join(folder, name), layer.label(path).place  # noqa: PTH118  # pathlib would drop a `./`


def _unset_at(layer: Layer, path: ValuePath) -> Place | None:
    for unset in layer.unset:
        if path[: len(unset.path)] == unset.path:
            return layer.label(("unset", unset.index)).place
    return None
