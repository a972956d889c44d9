"""The resolved tree of a spec: every value in force, and where each one comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pydantic_core import to_jsonable_python

from specforge.language.component_places import COMPONENT_LISTS, COMPONENT_TABLES
from specforge.language.corpora import data_path
from specforge.language.fields import field_at
from specforge.language.merge import leaves
from specforge.language.schema.document import SpecDocument
from specforge.language.spec import Origin, Part
from specforge.plugin import TaskConfig

if TYPE_CHECKING:
    from pydantic import BaseModel, JsonValue

    from specforge.language.merge import Merged, Setting
    from specforge.language.messages.problems import CheckedTable
    from specforge.language.spec import ValuePath

_SECTIONS: Final = "specforge"  # who gives the defaults of the fixed tables


def resolved_tree(document: SpecDocument, parts: Mapping[ValuePath, Part], merged: Merged) -> dict[str, JsonValue]:
    """Return all values of a spec as JSON: defaults filled in, components as `{"use": …}` tables, data paths absolute.

    Args:
        document: the checked fixed tables.
        parts: the checked components.
        merged: knows how components were called, and where paths start from.
    """
    tree: dict[str, JsonValue] = document.model_dump(mode="json", exclude={"sweep"})
    for path in COMPONENT_TABLES:
        _put(tree, path, _component(path, parts, merged))
    for path in COMPONENT_LISTS:
        elements = sorted(part for part in parts if part[:-1] == path)
        if elements:  # else the field's own default stands there
            _put(tree, path, [_component(element, parts, merged) for element in elements])
    _make_paths_absolute(tree, merged)
    return tree


def _component(path: ValuePath, parts: Mapping[ValuePath, Part], merged: Merged) -> JsonValue:
    part = parts.get(path)
    if part is None:
        return None
    typed = merged.at((*path, "use"))
    return {"use": typed if isinstance(typed, str) else part.registered.component.name, **part.values()}


def _put(tree: dict[str, JsonValue], path: ValuePath, value: JsonValue) -> None:
    table = tree
    for part in path[:-1]:
        child = table[str(part)]
        assert isinstance(child, dict)
        table = child
    table[str(path[-1])] = value


def _make_paths_absolute(tree: dict[str, JsonValue], merged: Merged) -> None:
    """Write data paths so that they mean the same from anywhere; below `data.root` they may stay as they are."""
    for path, value in list(leaves(tree["data"], ("data",))):
        is_start = path == ("data", "root") or (path[-1] == "path" and merged.at(("data", "root")) is None)
        if is_start and isinstance(value, str):
            replace_at(tree, path, str(data_path(merged, path, value)))


def replace_at(tree: JsonValue, path: ValuePath, value: JsonValue) -> None:
    """Put a value at a path of a tree whose tables and lists are there."""
    for part in path[:-1]:
        if isinstance(tree, dict):
            tree = tree[str(part)]
        elif isinstance(tree, list) and isinstance(part, int):
            tree = tree[part]
    assert isinstance(tree, dict)
    tree[str(path[-1])] = value


def tree_origins(
    tree: Mapping[str, JsonValue], tables: Sequence[CheckedTable], merged: Merged
) -> dict[ValuePath, tuple[Origin, ...]]:
    """Return the history of every leaf of a resolved tree, weakest first."""
    by_path = {table.path: table for table in tables}
    return {path: tuple(_history(path, value, by_path, merged)) for path, value in leaves(dict(tree))}


def _history(
    path: ValuePath, value: JsonValue, tables: Mapping[ValuePath, CheckedTable], merged: Merged
) -> Iterator[Origin]:
    settings = merged.settings.get(path, ())
    table = next((tables[path[:length]] for length in range(len(path), 0, -1) if path[:length] in tables), None)
    if table is not None and path == (*table.path, "use"):
        if table.default_use is not None:
            yield Origin("default", table.default_use, None, _owner_of_default(path, tables))
    elif table is not None:
        location = path[len(table.path) :]
        yield from _default(table.model, location, table.source)
        for preset in _found_at(dict(table.preset), location):
            yield Origin("preset", preset, None, f"preset {table.preset_name}")
    elif path == ("name",) and not settings:
        yield Origin("default", value, None, "the file's stem")
    elif path == ("train", "batch_tokens") and value is not None:
        task = tables["task",]
        assert issubclass(task.model, TaskConfig)
        yield Origin("default", task.model.batch_tokens, None, task.source)
    else:
        yield from _default(SpecDocument, path, _SECTIONS)
    yield from (_origin(path, setting) for setting in settings)


def _owner_of_default(path: ValuePath, tables: Mapping[ValuePath, CheckedTable]) -> str:
    """Return who says which component is used where the spec names none."""
    return _SECTIONS if path[:2] == ("train", "valid_search") else tables["task",].source


def _default(model: type[BaseModel], location: ValuePath, source: str) -> Iterator[Origin]:
    """Yield the default of a field, or of the field around it whose default holds the value."""
    for length in range(len(location), 0, -1):
        field = field_at(model, location[:length])
        if field is None or field.is_required():
            continue
        default = to_jsonable_python(field.get_default(call_default_factory=True))
        for value in _found_at(default, location[length:]):
            yield Origin("default", value, None, source)
            return


def _found_at(value: JsonValue, location: ValuePath) -> list[JsonValue]:
    """Return what stands at a location in JSON values, alone in a list, or an empty list."""
    for part in location:
        if isinstance(value, dict) and part in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return []
    return [value]


def _origin(path: ValuePath, setting: Setting) -> Origin:
    source = setting.layer.source
    place = setting.layer.label(path).place
    typed = source.text.text if source.layer == "set" else source.text.name
    return Origin(source.layer, setting.value, place, typed, source.folder)
