"""The difference between a lock and what there is now, named by its cause: data, plugins, the spec, and keys last of all."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeVar

from pydantic import JsonValue

from specforge import __version__
from specforge.foundation.terminal import printable
from specforge.language.merge import leaves
from specforge.language.plugins import BUILT_IN
from specforge.language.spec import Spec, ValuePath
from specforge.language.text.toml_text import toml_value
from specforge.planning.declaration import declaration
from specforge.planning.lock.contents import (
    Lock,
    LockedComponent,
    LockedFile,
    LockedPlugin,
    LockedStep,
    installed_plugin,
    is_data_path,
)

Cause: TypeAlias = Literal["data", "plugins", "spec", "keys"]

_SHOWN: Final = 8  # characters of a digest
_LONGEST_VALUE: Final = 60
_NAME: Final[ValuePath] = ("name",)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Args:
        cause: what changed: a data file, the installed code, the spec; `keys` only where none of these explains it.
        what: `data train/0/source (train.en)`, `plugin my-plugin`, `component model`, `specforge`, `step train`, or a field's path.
        before: what the lock says, in a few words; None where it has no such thing.
        after: what there is now; None where it is gone.
        where: for a field where it is set now: `small.toml:31:9`, `--set train.patience=3`, `default`.
        field: its path, for a field.
        matters: whether results depend on it.
    """

    cause: Cause
    what: str
    before: str | None
    after: str | None
    where: str | None = None
    field: ValuePath | None = None
    matters: bool = True

    def __str__(self) -> str:
        if self.before is not None and self.after is not None:
            words = f"{self.before} → {self.after}"
        elif self.field is not None:
            words = f"{self.before or 'unset'} → {self.after or 'unset'}"
        else:
            words = f"{self.after}, which is new" if self.before is None else f"{self.before}, which is gone"
        return f"{self.what}: {words}" + ("" if self.where is None else f" ({self.where})")


def compare(locked: Lock, now: Lock, spec: Spec) -> tuple[Change, ...]:
    """Return how what there is now differs from a lock, code first, keys only where nothing else explains theirs.

    Args:
        locked: the lock.
        now: the lock that would be written now.
        spec: the spec that `now` was made from.
    """
    same_keys = _keys(locked) == _keys(now)
    fields = list(_field_changes(locked, now, spec, same_keys=same_keys))
    code = list(code_changes(locked, now))
    renewed = {change.what.removeprefix("plugin ") for change in code}
    components = _component_changes(locked, now, renewed, {change.what for change in fields})
    changes = (*code, *components, *data_changes(locked, now.data), *fields)
    if any(change.matters for change in changes):
        return changes
    return (*changes, *_key_changes(locked, now))


def code_changes(locked: Lock, now: Lock) -> Iterator[Change]:
    """Yield what changed in the distributions that offer code."""
    if locked.specforge != now.specforge:
        yield Change("plugins", BUILT_IN, locked.specforge, now.specforge)
    for name, (before, after) in _paired(locked.plugin, now.plugin, lambda plugin: plugin.name).items():
        first, second = (_versions(rows) for rows in (before, after))
        if first != second:
            yield Change("plugins", f"plugin {name}", first, second)


def installed_changes(locked: Lock) -> tuple[Change, ...]:
    """Return what changed in the distributions that a lock names, before anything of them is imported."""
    installed: list[LockedPlugin] = []
    for plugin in locked.plugin:
        try:
            installed.append(installed_plugin(plugin.name))
        except importlib.metadata.PackageNotFoundError:
            continue
    now = locked.model_copy(update={"specforge": __version__, "plugin": installed})
    return tuple(code_changes(locked, now))


def data_changes(locked: Lock, now: Sequence[LockedFile]) -> Iterator[Change]:
    """Yield the data files that hold something else."""
    for role, (before, after) in _paired(locked.data, now, lambda file: file.role).items():
        paths = dict.fromkeys(printable(file.path) for file in (after or before))
        what = f"data {role} ({', '.join(paths)})"
        if {file.digest for file in before} != {file.digest for file in after}:
            yield Change("data", what, _contents(before), _contents(after))
        elif {file.path for file in before} != set(paths):
            former = ", ".join(printable(file.path) for file in before)
            yield Change("data", f"data {role}", former, ", ".join(paths), matters=False)


_RowT = TypeVar("_RowT")


def _paired(
    before: Iterable[_RowT], after: Iterable[_RowT], name: Callable[[_RowT], str]
) -> dict[str, tuple[list[_RowT], list[_RowT]]]:
    """Return the rows of both sides by name, in their order."""
    pairs: dict[str, tuple[list[_RowT], list[_RowT]]] = {}
    for side, rows in enumerate((before, after)):
        for row in rows:
            pairs.setdefault(name(row), ([], []))[side].append(row)
    return pairs


def _versions(rows: Sequence[LockedPlugin]) -> str | None:
    words = [row.version + (f", code {row.digest[:_SHOWN]}" if row.digest else "") for row in rows]
    return ", ".join(words) or None


def _contents(files: Sequence[LockedFile]) -> str | None:
    return ", ".join(contents(file) for file in files) or None


def contents(file: LockedFile) -> str:
    """Say what a file holds, in a few words."""
    return f"{file.lines:,} line{'s' * (file.lines != 1)} {file.digest[:_SHOWN]}"


def _component_changes(locked: Lock, now: Lock, renewed: set[str], fields: set[str]) -> Iterator[Change]:
    """Yield components of another version.

    One of another name is told by the field that names it, one of changed code by its plugin, where they are listed.
    """
    for path, (before, after) in _paired(locked.component, now.component, lambda row: row.path).items():
        named = {f"{path}.use", path} & fields or any(field.startswith(f"{path}.") for field in fields)
        if _names(before) != _names(after) and named:
            continue
        first, second = (
            [row.model_copy(update=_only_digest(row, renewed)) for row in rows] for rows in (before, after)
        )
        if first != second:
            yield Change("plugins", f"component {path}", _identities(first), _identities(second))


def _only_digest(row: LockedComponent, renewed: set[str]) -> Mapping[str, None]:
    return {"digest": None} if row.distribution in renewed else {}


def _names(rows: Sequence[LockedComponent]) -> set[str]:
    return {row.qualified for row in rows}


def _identities(rows: Sequence[LockedComponent]) -> str | None:
    return ", ".join(row.identity for row in rows) or None


def _field_changes(locked: Lock, now: Lock, spec: Spec, *, same_keys: bool) -> Iterator[Change]:
    """Yield the fields that differ; a component of another name stands for its whole table."""
    before, after = (dict(leaves(lock.resolved)) for lock in (locked, now))
    tables = _Tables(locked, now)
    for path in {**before, **after}:
        old, new = before.get(path), after.get(path)
        if old == new or is_data_path(path) or (path == _NAME and _is_unnamed(spec)):
            continue
        table = tables.around(path)
        replaced = table is not None and tables.is_replaced(table)
        if replaced and path[-1] != "use":
            continue
        matters = not same_keys and (replaced or (path[-1] != "use" and declaration(path, spec).marker.identity))
        cause: Cause = "plugins" if not replaced and tables.is_renewed(table) and not _is_said(path, spec) else "spec"
        what = printable(".".join(str(part) for part in path))
        yield Change(cause, what, _value(old), _value(new), _where(path, spec), path, matters)


class _Tables:
    """The component tables of a lock and of now."""

    def __init__(self, locked: Lock, now: Lock) -> None:
        self._pairs = _paired(locked.component, now.component, lambda row: row.path)
        self._renewed = {change.what.removeprefix("plugin ") for change in code_changes(locked, now)}

    def around(self, path: ValuePath) -> str | None:
        """Return the component table that a value stands in, dotted."""
        prefixes = (".".join(map(str, path[:length])) for length in range(len(path) - 1, 0, -1))
        return next((prefix for prefix in prefixes if prefix in self._pairs), None)

    def is_replaced(self, table: str) -> bool:
        """Return whether a table names another component now."""
        before, after = self._pairs[table]
        return _names(before) != _names(after)

    def is_renewed(self, table: str | None) -> bool:
        """Return whether the code that gives a table its defaults changed."""
        if table is None:
            return BUILT_IN in self._renewed
        before, after = self._pairs[table]
        return before != after or any(row.distribution in self._renewed for row in after)


def _is_unnamed(spec: Spec) -> bool:
    """Return whether a spec is called after its file: a file may be renamed."""
    return spec.origins[_NAME][-1].layer == "default"


def _is_said(path: ValuePath, spec: Spec) -> bool:
    history = spec.origins.get(path)
    return history is not None and history[-1].layer in {"spec", "set"}


def _where(path: ValuePath, spec: Spec) -> str | None:
    history = spec.origins.get(path)
    if history is None:
        return None
    origin = history[-1]
    match origin.layer:
        case "spec":
            return printable(str(origin.place))
        case "set":
            return f"--set {printable(origin.source)}"
        case "preset":
            return printable(origin.source)
        case "default":
            return "default"


def _value(value: JsonValue) -> str | None:
    return None if value is None else printable(toml_value(value), longest=_LONGEST_VALUE)


def _keys(lock: Lock) -> dict[tuple[str | None, str], str]:
    return {(step.point, step.id): step.key for step in lock.step}


def _key_changes(locked: Lock, now: Lock) -> Iterator[Change]:
    def name(step: LockedStep) -> str:
        return step.id if step.point is None else f"{step.id} of {step.point}"

    for step, (before, after) in _paired(locked.step, now.step, name).items():
        first, second = (", ".join(row.key[:_SHOWN] for row in rows) or None for rows in (before, after))
        if first != second:
            yield Change("keys", f"step {step}", first, second)
