"""`[sweep]` as it may stand in another file: every path dotted, data paths absolute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specforge.language.merge import leaves
from specforge.language.sweeps.names import typed_name
from specforge.language.sweeps.point_layer import point_layer

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.merge import Merged
    from specforge.language.spec import ValuePath
    from specforge.language.sweeps.draft import Choice, Choices, PointDraft, SweepDraft

_ROOT = ("data", "root")


def sweep_table(draft: SweepDraft, base: Merged) -> dict[str, JsonValue]:
    """Return what a sweep says: `grid` and `zip` with dotted path → values, `case` with dotted path → value.

    Args:
        draft: the sweep, without a mistake.
        base: the spec without it.
    """
    table: dict[str, JsonValue] = {}
    for name, axes in (("grid", draft.grid), ("zip", draft.zip)):
        if axes:
            table[name] = {typed_name(axis[0].field.path): _values(axis, base) for axis in axes}
    cases = draft.points[len(draft.points) - draft.cases :]
    if cases:
        table["case"] = [_case(case, base) for case in cases]
    return table


def _case(case: PointDraft, base: Merged) -> JsonValue:
    values = {typed_name(choice.field.path): _value(choice, base) for choice in case.choices}
    return values if case.label is None else {"name": case.label, **values}


def _values(axis: Choices, base: Merged) -> JsonValue:
    return [_value(choice, base) for choice in axis]


def _value(choice: Choice, base: Merged) -> JsonValue:
    """Return a value with its data paths absolute; below `data.root` they may stay as they are."""
    if choice.field.path[0] != "data":
        return choice.value
    layer = point_layer(choice)
    tree = layer.document.tree
    is_changed = False
    for path, value in list(leaves(tree)):
        is_start = path == _ROOT or (path[-1] == "path" and base.at(_ROOT) is None)
        if is_start and isinstance(value, str):
            _replace(tree, path, str(layer.source.folder / value))
            is_changed = True
    return _at(tree, tuple(map(str, choice.field.path))) if is_changed else choice.value


def _replace(tree: JsonValue, path: ValuePath, value: JsonValue) -> None:
    parent = _at(tree, path[:-1])
    assert isinstance(parent, dict)
    parent[str(path[-1])] = value


def _at(tree: JsonValue, path: ValuePath) -> JsonValue:
    for part in path:
        if isinstance(tree, list):
            assert isinstance(part, int)
            tree = tree[part]
        else:
            assert isinstance(tree, dict)
            tree = tree[str(part)]
    return tree
