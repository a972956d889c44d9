"""Layers folded into one tree: tables merge, a table with another `use` replaces, arrays replace, `unset` removes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from specforge.language.diagnostics import Diagnostic, Label
from specforge.language.spans import Span
from specforge.language.suggest import nearest

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.layers import Layer
    from specforge.language.spec import ValuePath

Table: TypeAlias = "dict[str, JsonValue]"


@dataclass(frozen=True, slots=True)
class Setting:
    """A layer that sets a value, and the value as it stands there."""

    layer: Layer
    value: JsonValue


@dataclass(slots=True)
class Merged:
    """What all layers say together.

    Args:
        tree: the values in force.
        settings: every leaf of the tree → the layers that set it, weakest first.
        layers: all layers, weakest first.
        diagnostics: `unset`s of what is not there.
    """

    tree: Table = field(default_factory=dict)
    settings: dict[ValuePath, tuple[Setting, ...]] = field(default_factory=dict)
    layers: Sequence[Layer] = ()
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def at(self, path: ValuePath) -> JsonValue:
        """Return the value at a path, or None where there is none."""
        value: JsonValue = self.tree
        for part in path:
            if isinstance(value, dict):
                value = value.get(str(part))
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def holds(self, path: ValuePath) -> bool:
        """Return whether some layer's value is in force at a path."""
        parent = self.at(path[:-1])
        if isinstance(parent, list):
            return isinstance(path[-1], int) and path[-1] < len(parent)
        return isinstance(parent, dict) and path[-1] in parent

    def layer_of(self, path: ValuePath) -> Layer | None:
        """Return the layer whose value is in force at a path, or None where it is a default or a preset's."""
        if path in self.settings:
            return self.settings[path][-1].layer
        if not self.holds(path):
            return None
        return next((layer for layer in reversed(self.layers) if layer.contains(path)), None)

    def faulty(self, table: ValuePath) -> frozenset[ValuePath]:
        """Return the paths inside a table at which reading found fault with what is in force."""
        size = len(table)
        inside = (path for path in self.settings if len(path) > size and path[:size] == table)
        return frozenset(path[size:] for path in inside if self.settings[path][-1].layer.is_faulty(path))

    def label(self, path: ValuePath, text: str = "", *, key: bool = False, primary: bool = True) -> Label | None:
        """Return a label at what was typed for a path, or None where nothing was typed."""
        layer = self.layer_of(path)
        return None if layer is None else layer.label(path, text, key=key, primary=primary)

    def missing_label(self, path: ValuePath, text: str, *, first: bool = False) -> Label:
        """Return a label at the place where something has to be added to a table.

        Args:
            path: the table; where nobody wrote it, the end of the spec is shown.
            text: for the label.
            first: whether it belongs at the very beginning.
        """
        inside = [settings[-1].layer for known, settings in self.settings.items() if known[: len(path)] == path]
        holders = [layer for layer in reversed(self.layers) if path and layer.contains(path)]
        in_force = [layer for layer in holders if layer in inside] or holders
        files = [layer for layer in in_force if layer.source.layer == "spec"]
        if in_force:
            return (files or in_force)[0].label(path, text)
        source = next(layer.source for layer in reversed(self.layers) if layer.source.layer == "spec")
        return Label(source.text, Span(0, 0) if first else source.end, text)


def leaves(value: JsonValue, path: ValuePath = ()) -> Iterator[tuple[ValuePath, JsonValue]]:
    """Yield path and value of each leaf: all that is no table and no array of tables."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from leaves(child, (*path, key))
    elif isinstance(value, list) and value and all(isinstance(child, dict) for child in value):
        for index, child in enumerate(value):
            yield from leaves(child, (*path, index))
    else:
        yield path, value


def merge(layers: Sequence[Layer]) -> Merged:
    """Fold layers, weakest first."""
    merged = Merged(layers=layers)
    for layer in layers:
        for unset in layer.unset:
            _remove(merged, unset.path, layer.label(("unset", unset.index)))
        merged.tree = _overlay(merged, merged.tree, layer.document.tree, (), layer)
        for path, value in leaves(layer.document.tree):
            merged.settings[path] = (*merged.settings.get(path, ()), Setting(layer, value))
    return merged


def _overlay(merged: Merged, below: Table, above: Table, path: ValuePath, layer: Layer) -> Table:
    result = dict(below)
    for key, value in above.items():
        here = (*path, key)
        old = below.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and not _replaces(old, value, here, layer):
            result[key] = _overlay(merged, old, value, here, layer)
        elif here in layer.document.single and isinstance(old, list) and len(old) == 1:
            result[key] = [_overlay_only(merged, old[0], value, here, layer)]
        else:
            if key in below:
                _forget(merged, here, layer)
            result[key] = value
    return result


def _overlay_only(merged: Merged, old: JsonValue, value: JsonValue, path: ValuePath, layer: Layer) -> JsonValue:
    """Merge the one table that was typed in place of a list into the one element of the list below."""
    new = value[0] if isinstance(value, list) else value
    here = (*path, 0)
    if isinstance(old, dict) and isinstance(new, dict) and not _replaces(old, new, here, layer):
        return _overlay(merged, old, new, here, layer)
    _forget(merged, here, layer)
    return new


def _replaces(below: Table, above: Table, path: ValuePath, layer: Layer) -> bool:
    """Return whether a table replaces the one below: typed as one word, or another component.

    A table that names no component says only values, and merges with whatever is named elsewhere.
    """
    return path in layer.document.whole or ("use" in below and "use" in above and below["use"] != above["use"])


def _forget(merged: Merged, path: ValuePath, layer: Layer) -> None:
    """Drop what was set at and below a path, except for values that the layer sets anew: these keep their history."""
    for known in [known for known in merged.settings if known[: len(path)] == path and not _is_leaf(layer, known)]:
        del merged.settings[known]


def _is_leaf(layer: Layer, path: ValuePath) -> bool:
    return any(inside == () for value in layer.found(path) for inside, _ in leaves(value))


def _remove(merged: Merged, path: ValuePath, label: Label) -> None:
    if not merged.holds(path):
        merged.diagnostics.append(_nothing_to_unset(merged, path, label))
        return
    merged.tree = _without(merged.tree, path)
    for known in [known for known in merged.settings if known[: len(path)] == path]:
        del merged.settings[known]


def _without(table: Table, path: ValuePath) -> Table:
    """Return a table without what stands at a path in it; the tables of the layers stay as they are."""
    head, rest = str(path[0]), path[1:]
    child = table[head]
    if rest and isinstance(child, dict):
        return {**table, head: _without(child, rest)}
    return {key: value for key, value in table.items() if key != head}


def _nothing_to_unset(merged: Merged, path: ValuePath, label: Label) -> Diagnostic:
    typed = ".".join(map(str, path))
    near = nearest(typed, [".".join(map(str, known)) for known in merged.settings], cutoff=0.8)
    text = f"did you mean `{near}`?" if near else "nothing below this layer sets it"
    return Diagnostic("SF107", f"nothing to unset at `{typed}`", (Label(label.source, label.span, text),))
