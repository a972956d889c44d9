"""Layers folded into one tree: tables merge, a table with another `use` replaces, arrays replace, `unset` removes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from specforge.foundation.terminal import printable
from specforge.language.component_places import component_kind
from specforge.language.messages.diagnostics import Diagnostic, Label
from specforge.language.messages.suggest import nearest
from specforge.language.text.spans import Span

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
    _faulty: list[ValuePath] | None = None

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
        if self._faulty is None:
            self._faulty = [path for path, settings in self.settings.items() if settings[-1].layer.is_faulty(path)]
        size = len(table)
        return frozenset(path[size:] for path in self._faulty if len(path) > size and path[:size] == table)

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
        holders = [layer for layer in reversed(self.layers) if path and layer.contains(path)]
        in_force = holders
        if len(holders) > 1:
            inside = [settings[-1].layer for known, settings in self.settings.items() if known[: len(path)] == path]
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
        for typed, value in leaves(layer.document.tree):
            path = _with_index(typed, layer)
            merged.settings[path] = (*merged.settings.get(path, ()), Setting(layer, value))
    return merged


def _overlay(merged: Merged, below: Table, above: Table, path: ValuePath, layer: Layer) -> Table:
    result = dict(below)
    for key, value in above.items():
        here = (*path, key)
        old = below.get(key)
        if here in layer.document.indexed and isinstance(value, dict):
            elements = _overlay_elements(merged, old if isinstance(old, list) else [], value, here, layer)
            if elements:
                result[key] = elements
        elif isinstance(old, dict) and isinstance(value, dict) and not _replaces(old, value, here, layer):
            result[key] = _overlay(merged, old, value, here, layer)
        elif here in layer.document.single and isinstance(old, list) and len(old) == 1:
            result[key] = [_overlay_only(merged, old[0], value, here, layer)]
        else:
            if key in below:
                _forget(merged, here, layer)
            is_around = any(table[: len(here)] == here for table in layer.document.indexed)
            result[key] = _overlay(merged, {}, value, here, layer) if is_around and isinstance(value, dict) else value
    return result


def _overlay_only(merged: Merged, old: JsonValue, value: JsonValue, path: ValuePath, layer: Layer) -> JsonValue:
    """Merge the one table that was typed in place of a list into the one element of the list below."""
    return _overlay_element(merged, old, value[0] if isinstance(value, list) else value, (*path, 0), layer)


def _overlay_element(merged: Merged, old: JsonValue, new: JsonValue, path: ValuePath, layer: Layer) -> JsonValue:
    if isinstance(old, dict) and isinstance(new, dict) and not _replaces(old, new, path, layer):
        return _overlay(merged, old, new, path, layer)
    _forget(merged, path, layer)
    return new


def _overlay_elements(
    merged: Merged, below: list[JsonValue], above: Table, path: ValuePath, layer: Layer
) -> list[JsonValue]:
    """Merge a table of index → element into the list below."""
    elements = list(below)
    for key, value in above.items():
        index = int(key)
        if index < len(elements):
            elements[index] = _overlay_element(merged, elements[index], value, (*path, index), layer)
        else:
            merged.diagnostics.append(_no_element(path, index, len(elements), layer))
    return elements


def _no_element(path: ValuePath, index: int, count: int, layer: Layer) -> Diagnostic:
    name = ".".join(map(str, path))
    there = (
        f"`{name}` has {count} element{'s' * (count != 1)}, counted from 0"
        if count
        else f"no layer below lists `{name}`"
    )
    label = layer.label((*path, index), there, key=True)
    return Diagnostic("SF129", f"there is no element {index} of `{name}`", (label,))


def _with_index(typed: ValuePath, layer: Layer) -> ValuePath:
    """Return the path of a leaf with indices as numbers where a layer typed them as keys."""
    for table in layer.document.indexed:
        size = len(table)
        if typed[:size] == table and len(typed) > size:
            return (*table, int(typed[size]), *typed[size + 1 :])
    return typed


def _replaces(below: Table, above: Table, path: ValuePath, layer: Layer) -> bool:
    """Return whether a table replaces the one below: typed as one word, or another component.

    A table that names no component says only values, and merges with whatever is named elsewhere.
    """
    if path in layer.document.whole:
        return True
    return "use" in below and "use" in above and not _same_component(path, below["use"], above["use"])


def _same_component(path: ValuePath, below: JsonValue, above: JsonValue) -> bool:
    """Return whether two names of a table mean one component or preset: `transformer` and `specforge/transformer`."""
    if below == above:
        return True
    if not isinstance(below, str) or not isinstance(above, str):
        return False
    if below.rpartition("/")[2] != above.rpartition("/")[2]:
        return False
    from specforge.language.registry import load_registry  # rarely asked

    kind = component_kind(path)
    return kind is not None and load_registry().same(kind, below, above)


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
    typed = printable(".".join(map(str, path)))
    near = nearest(typed, [".".join(map(str, known)) for known in merged.settings], cutoff=0.8)
    text = f"did you mean `{near}`?" if near else "nothing below this layer sets it"
    return Diagnostic("SF107", f"nothing to unset at `{typed}`", (Label(label.source, label.span, text),))
