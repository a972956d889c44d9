"""Plugins: found through entry points, loaded one by one, each failure kept as a record instead of a crash.

pluggy's own loader imports every entry point at once and lets exceptions out, so one broken plugin would break every
command and one that imports torch would slow them all. Ours finds without importing, leaves out what
`SPECFORGE_PLUGINS` does not name, and loads a plugin only when it is asked for.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, TypeAlias

import pluggy

from specforge.foundation.canonical import canonical_json
from specforge.foundation.terminal import printable
from specforge.plugin import KINDS, Component, Hooks, Kind, Migration, Preset

GROUP: Final = "specforge"
"""Entry-point group that plugins register in."""

BUILT_IN: Final = "specforge"
"""What stands for the distribution of the built-in components, in qualified names and in keys."""

VARIABLE: Final = "SPECFORGE_PLUGINS"
"""Environment variable that limits which plugins are loaded: empty, or a list with commas."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_IMPORT_STRING: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class PluginSource:
    """An entry point, found and not yet loaded.

    Args:
        distribution: normalised name of the distribution that declares it.
        version: version of that distribution.
        entry_point: name of the entry point.
        load: imports the plugin and returns what the entry point names.
    """

    distribution: str
    version: str
    entry_point: str
    load: Callable[[], object]


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that could not be used.

    Args:
        distribution, version, entry_point: whose it is.
        cause: what went wrong, as one line that is safe to print.
    """

    distribution: str
    version: str
    entry_point: str
    cause: str

    def __str__(self) -> str:
        return f"plugin `{self.entry_point}` of {self.distribution} {self.version} is broken: {self.cause}"


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """What a plugin declared.

    Args:
        source: where it came from.
        declarations: its components and presets, checked, sorted by kind and name.
        migrations: what became of former fields of these components, checked, in the order of their versions.
    """

    source: PluginSource
    declarations: tuple[Component | Preset, ...]
    migrations: tuple[Migration, ...] = ()


PluginState: TypeAlias = Literal["built in", "loaded", "broken", "blocked", "missing"]


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """A plugin as `specforge plugins` lists it.

    Args:
        distribution: its distribution; empty for a missing one.
        version: the distribution's version; empty for a missing one.
        entry_point: name of the entry point; for a missing one what `SPECFORGE_PLUGINS` names.
        state: `blocked` was left out by `SPECFORGE_PLUGINS`, `missing` is named there and not installed.
        cause: why it is broken, else None.
        components: kind and name of each component that it offers.
        presets: kind and name of each preset that it offers.
    """

    distribution: str
    version: str
    entry_point: str
    state: PluginState
    cause: str | None = None
    components: tuple[tuple[Kind, str], ...] = ()
    presets: tuple[tuple[Kind, str], ...] = ()


def normalised(distribution: str) -> str:
    """Return the one spelling of a distribution's name that packaging tools compare by (`A_b.c` → `a-b-c`)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def find_plugins() -> tuple[PluginSource, ...]:
    """Return the entry points of the installed plugins, sorted, without importing any."""
    found = [_source(entry) for entry in importlib.metadata.entry_points(group=GROUP)]
    return tuple(sorted(found, key=lambda source: (source.distribution, source.entry_point)))


def _source(entry: importlib.metadata.EntryPoint) -> PluginSource:
    distribution = entry.dist
    assert distribution is not None, "an entry point that was found comes from a distribution"
    return PluginSource(normalised(distribution.name), distribution.version, entry.name, entry.load)


def allowed_plugins(environment: Mapping[str, str] = os.environ) -> frozenset[str] | None:
    """Return the names that `SPECFORGE_PLUGINS` lists, normalised, or None when it is not set and all are allowed."""
    listed = environment.get(VARIABLE)
    if listed is None:
        return None
    return frozenset(normalised(name.strip()) for name in listed.split(",") if name.strip())


def load_plugin(source: PluginSource) -> LoadedPlugin | BrokenPlugin:
    """Import a plugin and ask it what it offers; whatever it does wrong becomes a `BrokenPlugin`."""
    if source.distribution == BUILT_IN:
        return _broken(source, f"the name `{BUILT_IN}` stands for the built-in components")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout holds results only, and some of them are JSON
            plugin = source.load()
            declarations = declared(plugin)
            migrations = declared_migrations(plugin, declarations)
    except KeyboardInterrupt:
        raise
    except _DeclarationError as error:
        return _broken(source, str(error))
    except BaseException as error:  # noqa: BLE001  # a plugin may raise anything, SystemExit too: a record, not a crash
        return _broken(source, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    return LoadedPlugin(source, declarations, migrations)


def _broken(source: PluginSource, cause: str) -> BrokenPlugin:
    return BrokenPlugin(source.distribution, source.version, source.entry_point, printable(" ".join(cause.split())))


class _DeclarationError(Exception):
    """A plugin declares something that is not a component or a preset as we know them."""


def _manager(plugin: object) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    manager.register(plugin)
    manager.check_pending()
    return manager


def declared(plugin: object) -> tuple[Component | Preset, ...]:
    """Call a plugin's hook and return its declarations, checked and sorted by kind and name.

    A manager of its own for each plugin keeps a hook that raises from hiding what the others offer.
    """
    answers: Sequence[object] = _manager(plugin).hook.specforge_components()
    if not answers:
        message = "it has no `specforge_components` with `@hookimpl`, or that returned None"
        raise _DeclarationError(message)
    declarations = [item for answer in answers for item in _checked_answer(answer)]
    counts = Counter((item.kind, item.name) for item in declarations)
    twice = next((key for key, count in counts.items() if count > 1), None)
    if twice is not None:
        message = f"it offers the {twice[0]} `{twice[1]}` twice"
        raise _DeclarationError(message)
    own = {(item.kind, item.name) for item in declarations if isinstance(item, Component)}
    for item in declarations:
        if isinstance(item, Preset) and "/" not in item.of and (item.kind, item.of) not in own:
            message = (
                f"Preset '{item.name}': it has no {item.kind} `{item.of}`; another's is written `distribution/name`"
            )
            raise _DeclarationError(message)
    return tuple(sorted(declarations, key=lambda item: (KINDS.index(item.kind), item.name)))


def declared_migrations(plugin: object, declarations: Sequence[Component | Preset]) -> tuple[Migration, ...]:
    """Call a plugin's hook for migrations, which it need not have, and return them, checked, in the order of versions.

    Args:
        plugin: what the entry point names.
        declarations: what it offers; migrations are about these.
    """
    answers: Sequence[object] = _manager(plugin).hook.specforge_migrations()
    components = {(item.kind, item.name): item for item in declarations if isinstance(item, Component)}
    found: list[Migration] = []
    for item in (item for answer in answers for item in _listed(answer)):
        if not isinstance(item, Migration):
            message = f"`specforge_migrations` returned something of type {type(item).__name__} among its migrations"
            raise _DeclarationError(message)
        fault = _migration_fault(item, components.get((item.kind, item.name)))
        if fault is not None:
            message = f"Migration of {item.kind} {item.name!r} to version {item.to_version!r}: {fault}"
            raise _DeclarationError(message)
        found.append(item)
    counts = Counter((item.kind, item.name, name) for item in found for name in item.former)
    twice = next((key for key, count in counts.items() if count > 1), None)
    if twice is not None:
        message = f"two migrations say what became of `{twice[2]}` of the {twice[0]} `{twice[1]}`"
        raise _DeclarationError(message)
    return tuple(sorted(found, key=lambda item: (KINDS.index(item.kind), item.name, item.to_version)))


def _listed(answer: object) -> Sequence[object]:
    if not isinstance(answer, list | tuple):
        message = f"`specforge_migrations` returned {type(answer).__name__}, not a list or tuple"
        raise _DeclarationError(message)
    return answer


def _migration_fault(item: Migration, component: Component | None) -> str | None:
    """Return what is wrong with a migration, or None."""
    if component is None:
        return "the plugin offers no such component"
    if type(item.to_version) is not int or not 1 < item.to_version <= component.version:
        return f"its version is one from 2 to the component's own, {component.version}"
    tables = (item.renamed, item.removed, item.edited)
    if not all(isinstance(table, Mapping) and all(isinstance(name, str) for name in table) for table in tables):
        return "renamed, removed and edited are tables of former fields"
    if not item.former:
        return "it names no former field"
    if not all(isinstance(name, str) for name in item.renamed.values()):
        return "a field is renamed to a field"
    strange = next((text for text in item.edited.values() if not _is_import_string(text)), None)
    return None if strange is None else f"{strange!r} is not of the form `package.module:name`"


def _is_import_string(text: object) -> bool:
    return isinstance(text, str) and _IMPORT_STRING.fullmatch(text) is not None


def _checked_answer(answer: object) -> Iterator[Component | Preset]:
    if not isinstance(answer, list | tuple):
        message = f"`specforge_components` returned {type(answer).__name__}, not a list or tuple"
        raise _DeclarationError(message)
    for item in answer:
        if not isinstance(item, Component | Preset):
            message = f"`specforge_components` returned something of type {type(item).__name__} among its components"
            raise _DeclarationError(message)
        fault = _fault(item)
        if fault is not None:
            message = f"{type(item).__name__} {item.name!r}: {fault}"
            raise _DeclarationError(message)
        yield item


def _fault(item: Component | Preset) -> str | None:
    """Return what is wrong with a declaration; types are not trusted, since nobody checked a plugin's code."""
    if item.kind not in KINDS:
        return f"kind {item.kind!r} is none of {', '.join(KINDS)}"
    if not isinstance(item.name, str) or _NAME.fullmatch(item.name) is None:
        return "a name is made of letters, digits, `_`, `.` and `-`"
    if not isinstance(item.summary, str) or "\n" in item.summary:
        return "the summary is one line"
    return _component_fault(item) if isinstance(item, Component) else _preset_fault(item)


def _component_fault(component: Component) -> str | None:
    for label, value in (("config", component.config), ("factory", component.factory)):
        if not _is_import_string(value):
            return f"{label} {value!r} is not of the form `package.module:name`"
    if type(component.version) is not int or component.version < 1:
        return "the version is a whole number from 1"
    return None


def _preset_fault(preset: Preset) -> str | None:
    if not isinstance(preset.of, str) or not preset.of:
        return "`of` names a component"
    if not isinstance(preset.values, Mapping) or not all(isinstance(field, str) for field in preset.values):
        return "the values are a table of fields"
    try:
        canonical_json(dict(preset.values))
    except (TypeError, ValueError) as error:
        return f"the values are not JSON: {error}"
    return None


class Plugins:
    """The plugins of this process, each loaded at most once and only when it is asked for.

    Args:
        find: finds them without importing any; called when the first one is needed.
        allowed: those that may be loaded, by distribution or entry point; None for all.
    """

    def __init__(self, find: Callable[[], Sequence[PluginSource]], allowed: frozenset[str] | None = None) -> None:
        self._find = find
        self._allowed = allowed
        self._done: dict[PluginSource, LoadedPlugin | BrokenPlugin] = {}

    def load(self, distribution: str | None = None) -> tuple[LoadedPlugin | BrokenPlugin, ...]:
        """Return the allowed plugins, or those of one distribution, sorted by distribution and entry point."""
        return tuple(
            self._load(source)
            for source in self._sources
            if distribution in {None, source.distribution} and self._may_load(source)
        )

    def blocked(self) -> tuple[PluginSource, ...]:
        """Return the plugins that `SPECFORGE_PLUGINS` leaves out."""
        return tuple(source for source in self._sources if not self._may_load(source))

    def records(self) -> tuple[PluginRecord, ...]:
        """Load all allowed plugins and return a record of each plugin, those that are only named in the end."""
        present = {name for source in self._sources for name in (source.distribution, normalised(source.entry_point))}
        missing = sorted((self._allowed or frozenset()) - present)
        cause = f"{VARIABLE} names it and it is not installed"
        return (
            *(self._record(source) for source in self._sources),
            *(PluginRecord("", "", name, "missing", cause) for name in missing),
        )

    @cached_property
    def _sources(self) -> tuple[PluginSource, ...]:
        return tuple(self._find())

    def _may_load(self, source: PluginSource) -> bool:
        names = {source.distribution, normalised(source.entry_point)}
        return self._allowed is None or not names.isdisjoint(self._allowed)

    def _load(self, source: PluginSource) -> LoadedPlugin | BrokenPlugin:
        if source not in self._done:
            self._done[source] = self._without_doubles(load_plugin(source))
        return self._done[source]

    def _without_doubles(self, plugin: LoadedPlugin | BrokenPlugin) -> LoadedPlugin | BrokenPlugin:
        """Refuse a plugin that repeats a name of its own distribution: no qualified name could tell the two apart."""
        if isinstance(plugin, BrokenPlugin):
            return plugin
        offered = {
            (item.kind, item.name): other.source.entry_point
            for other in self._done.values()
            if isinstance(other, LoadedPlugin) and other.source.distribution == plugin.source.distribution
            for item in other.declarations
        }
        for item in plugin.declarations:
            other = offered.get((item.kind, item.name))
            if other is not None:
                return _broken(plugin.source, f"it offers the {item.kind} `{item.name}`, as its sister `{other}` does")
        return plugin

    def _record(self, source: PluginSource) -> PluginRecord:
        about = (source.distribution, source.version, source.entry_point)
        if not self._may_load(source):
            return PluginRecord(*about, "blocked", f"{VARIABLE} does not name it")
        plugin = self._load(source)
        if isinstance(plugin, BrokenPlugin):
            return PluginRecord(*about, "broken", plugin.cause)
        return PluginRecord(*about, "loaded", None, *offers(plugin.declarations))


def offers(items: Sequence[Component | Preset]) -> tuple[tuple[tuple[Kind, str], ...], tuple[tuple[Kind, str], ...]]:
    """Return kind and name of the components and of the presets among declarations."""
    return (
        tuple((item.kind, item.name) for item in items if isinstance(item, Component)),
        tuple((item.kind, item.name) for item in items if isinstance(item, Preset)),
    )
