"""Fields that components used to have, found in a spec, and what is said in their place now.

The rule is safe because it looks at shapes only: a key is former if a migration names it and the component that is
installed does not have it. Editing leaves no former key, so that a second time finds nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from specforge.foundation.errors import RefusedError
from specforge.foundation.terminal import printable
from specforge.language.component_places import component_kind
from specforge.language.merge import Merged, leaves
from specforge.language.messages.diagnostics import Diagnostic, Label
from specforge.language.messages.wording import dotted, table_name
from specforge.language.text.toml_text import toml_value

if TYPE_CHECKING:
    from pydantic import BaseModel, JsonValue

    from specforge.language.layers import Layer
    from specforge.language.messages.problems import CheckedTable
    from specforge.language.registry import Registry
    from specforge.language.spec import ValuePath
    from specforge.language.text.spans import Span
    from specforge.plugin import Migration


class UnsayableError(Exception):
    """A former field said something that no present field says; the message is a lower-case sentence."""


@dataclass(frozen=True, slots=True)
class Former:
    """A former field in a layer of a spec.

    Args:
        layer: the file, or `--set` argument.
        table: path of the component's table, normalised.
        field: the former field.
        typed: path in the file of what has to change.
        mention: whether the file only speaks of the field there (in `unset`, or as a path of a sweep), and sets no value.
        version: the first version of the component without the field.
        component: the component, `specforge-focal/focal`.
        present: field → value that say the same now; a mention has only the new name, with no value.
        renamed: the new name, where only the name differs.
    """

    layer: Layer
    table: ValuePath
    field: str
    typed: ValuePath
    mention: bool
    version: int
    component: str
    present: Mapping[str, JsonValue]
    renamed: str | None

    @property
    def span(self) -> Span:
        """Where the file names it."""
        index = self.layer.source.index
        return index.keys.get(self.typed) or index.values[self.typed]

    def summary(self) -> str:
        """Return in a few words what becomes of it."""
        if self.renamed is not None:
            return f"`{self.field}` is called `{self.renamed}` now"
        if not self.present:
            return f"`{self.field}` is no longer needed"
        fields = ", ".join(f"`{name} = {toml_value(value)}`" for name, value in self.present.items())
        return f"`{self.field}` is now said by {fields}"


@dataclass(frozen=True, slots=True)
class FormerKey:
    """What to say of a former field where it is an unknown key.

    Args:
        words: at the key.
        help: what to do.
        present: the fields that say the same now, as far as that does not depend on the value.
    """

    words: str
    help: str
    present: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """The former fields of a spec.

    Args:
        fields: those with something to say in their place.
        diagnostics: the others, with the reason.
    """

    fields: tuple[Former, ...]
    diagnostics: tuple[Diagnostic, ...]


def former_field(migrations: Sequence[Migration], model: type[BaseModel], field: str) -> Migration | None:
    """Return the migration that knows what became of a field, or None where the component has it, or never had."""
    if field in model.model_fields:
        return None
    return next((migration for migration in migrations if field in migration.former), None)


def about_former(merged: Merged, table: CheckedTable, field: str) -> FormerKey | None:
    """Return what to say of a key that a component does not have, or None where it never had it."""
    migration = former_field(table.migrations, table.model, field)
    layer = merged.layer_of((*table.path, field))
    if migration is None or layer is None:
        return None
    renamed = _new_name(table.migrations, field)
    words = (
        f"called `{renamed}` now" if renamed is not None else f"no longer a key since version {migration.to_version}"
    )
    if layer.source.layer == "set":
        help_text = f"write `{dotted((*table.path, renamed))}`" if renamed is not None else table.help or ""
    else:
        spec = next(each for each in reversed(merged.layers) if each.source.layer == "spec")
        files = " ".join(dict.fromkeys(printable(each.source.text.name) for each in (spec, layer)))
        help_text = f"`specforge migrate {files}` edits it"
    return FormerKey(words, help_text, () if renamed is None else (renamed,))


def find_former(merged: Merged, tables: Sequence[CheckedTable], registry: Registry) -> Findings:
    """Return all former fields in the files of a spec.

    Args:
        merged: the layers of the spec.
        tables: its component tables.
        registry: knows which names mean one component.

    Raises:
        RefusedError: SF210, a function of a plugin cannot be loaded, or fails.
    """
    fields: list[Former] = []
    diagnostics: list[Diagnostic] = []
    for table in tables:
        names = [name for migration in table.migrations for name in migration.former]
        for field in (name for name in names if former_field(table.migrations, table.model, name) is not None):
            for layer in merged.layers:
                is_about = _is_about(merged, layer, table.path, registry)
                for typed, mention in _places(layer, (*table.path, field), is_about=is_about):
                    try:
                        fields.append(_found(table, field, layer, typed, mention=mention))
                    except UnsayableError as error:
                        diagnostics.append(_unsayable(layer, table, field, typed, str(error)))
    return Findings(tuple(fields), tuple(diagnostics))


def _is_about(merged: Merged, layer: Layer, path: ValuePath, registry: Registry) -> bool:
    """Return whether what a layer says of a table is about the component that is in force there."""
    named, in_force = layer.found((*path, "use")), merged.at((*path, "use"))
    if not named or named[0] == in_force:
        return True
    kind = component_kind(path)
    if kind is None or not isinstance(in_force, str) or not isinstance(named[0], str):
        return False
    return registry.same(kind, named[0], in_force)


def _places(layer: Layer, path: ValuePath, *, is_about: bool) -> Iterator[tuple[ValuePath, bool]]:
    """Yield where a layer names a field, with whether it only mentions it there."""
    if is_about and layer.contains(path):
        yield layer.document.typed_path(path), False
    for unset in layer.unset:
        if unset.path == path:
            yield ("unset", unset.index) if isinstance(layer.source.data["unset"], list) else ("unset",), True
    for swept, _ in leaves(layer.document.tree.get("sweep"), ("sweep",)):
        if ".".join(map(str, path)) == ".".join(part for part in swept[2:] if isinstance(part, str)):
            yield swept, True


def _found(table: CheckedTable, field: str, layer: Layer, typed: ValuePath, *, mention: bool) -> Former:
    migration = former_field(table.migrations, table.model, field)
    assert migration is not None, "only former fields come here"
    renamed = _new_name(table.migrations, field)
    if mention:
        if renamed is None:
            message = "only a new name can be put here"
            raise UnsayableError(message)
        present: dict[str, JsonValue] = {renamed: None}
    else:
        if renamed is not None and layer.contains((*table.path, renamed)):
            message = f"`{renamed}` stands here, too"
            raise UnsayableError(message)
        present = _present(table, {field: layer.found((*table.path, field))[0]})
        twice = next((name for name in present if layer.contains((*table.path, name))), None)
        if twice is not None:
            message = f"it says what `{twice}` says here, too"
            raise UnsayableError(message)
    component = table.source.rpartition("@")[0]
    return Former(layer, table.path, field, typed, mention, migration.to_version, component, present, renamed)


def _new_name(migrations: Sequence[Migration], field: str) -> str | None:
    """Return what a field is called now, over all its names; None where it was not just renamed."""
    name = field
    for migration in migrations:  # in the order of versions
        if name in migration.removed or name in migration.edited:
            return None
        name = migration.renamed.get(name, name)
    return name if name != field else None


def _present(table: CheckedTable, values: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return what former values are said by now, through all versions since."""
    for migration in table.migrations:
        values = {
            name: now
            for former, value in values.items()
            for name, now in _step(table, migration, former, value).items()
        }
    return values


def _step(table: CheckedTable, migration: Migration, field: str, value: JsonValue) -> Mapping[str, JsonValue]:
    if field in migration.renamed:
        return {migration.renamed[field]: value}
    if field in migration.edited:
        return _edited(table, migration.edited[field], field, value)
    if field not in migration.removed:
        return {field: value}
    said = migration.removed[field]
    if value == said and isinstance(value, bool) == isinstance(said, bool):
        return {}
    message = f"since version {migration.to_version} it can only be {toml_value(said)}"
    raise UnsayableError(message)


def _edited(table: CheckedTable, function: str, field: str, value: JsonValue) -> Mapping[str, JsonValue]:
    """Call a plugin's function; whatever it does wrong is told as the plugin's fault."""
    module, _, name = function.partition(":")
    try:
        present = getattr(importlib.import_module(module), name)(value)
        if isinstance(present, Mapping) and all(isinstance(key, str) for key in present):
            for now in present.values():
                toml_value(now)
            return present
        cause = f"it returned {type(present).__name__}, not a table"
    except KeyboardInterrupt:
        raise
    except ValueError as error:
        raise UnsayableError(
            printable(" ".join(str(error).split())) or "its value says nothing that can be said now"
        ) from error
    except BaseException as error:  # noqa: BLE001  # a stranger's function may raise anything
        cause = f"{type(error).__name__}: {error}"
    message = f"the migration of `{field}` by {table.source} failed"
    raise RefusedError("SF210", message, notes=(printable(" ".join(cause.split())),), help="tell the plugin's authors")


def _unsayable(layer: Layer, table: CheckedTable, field: str, typed: ValuePath, reason: str) -> Diagnostic:
    index = layer.source.index
    label = Label(layer.source.text, index.key(typed) or index.value(index.known_prefix(typed)), reason)
    message = f"`{printable(field)}` in {table_name(table.path)} cannot be migrated"
    return Diagnostic("SF130", message, (label,), table.notes, table.help)
