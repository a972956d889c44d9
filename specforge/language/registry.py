"""The registry: which component or preset a name stands for, and which distribution offers it.

Built-in names are looked up first and cost no plugin's import. Any other name loads the plugins, since two of them may
offer it; a qualified one (`dist/name`) only those of its distribution. A name that two plugins offer is no error until
a spec uses it, and a plugin cannot take a built-in's name, so installing one never changes what a spec means.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final, TypeAlias, cast

from specforge import __version__, builtin
from specforge.foundation.errors import RefusedError, SpecforgeError, StepFailedError, WrongInputError
from specforge.foundation.terminal import printable
from specforge.language.messages.suggest import nearest
from specforge.language.plugins import (
    BUILT_IN,
    VARIABLE,
    BrokenPlugin,
    LoadedPlugin,
    PluginRecord,
    Plugins,
    allowed_plugins,
    declared,
    find_plugins,
    normalised,
    offers,
)
from specforge.language.spec import Registered
from specforge.plugin import (
    KINDS,
    Component,
    ComponentConfig,
    Kind,
    LRSchedulerConfig,
    Migration,
    OptimizerConfig,
    Preset,
    TaskConfig,
    TokenizerConfig,
)

_CONFIG_BASES: Final[Mapping[Kind, type[ComponentConfig]]] = MappingProxyType(
    {
        "task": TaskConfig,
        "tokenizer": TokenizerConfig,
        "optimizer": OptimizerConfig,
        "lr_scheduler": LRSchedulerConfig,
    }
)


@dataclass(frozen=True, slots=True)
class RegisteredPreset:
    """A preset and the distribution that offers it."""

    distribution: str
    distribution_version: str
    preset: Preset

    @property
    def qualified(self) -> str:
        """The unambiguous name, as `use` may write it: `specforge/transformer_iwslt_de_en`."""
        return f"{self.distribution}/{self.preset.name}"

    @property
    def component(self) -> str:
        """The qualified name of the component that the values are for: `specforge/transformer`."""
        return self.preset.of if "/" in self.preset.of else f"{self.distribution}/{self.preset.of}"


@dataclass(frozen=True, slots=True)
class Match:
    """What a name stands for.

    Args:
        registered: the component.
        preset: the preset, when the name is one.
        migrations: what became of fields that the component used to have, in the order of its versions.
    """

    registered: Registered
    preset: Preset | None = None
    migrations: tuple[Migration, ...] = ()


_Entry: TypeAlias = Registered | RegisteredPreset


class UnknownComponentError(WrongInputError):
    """SF201: no distribution offers this name.

    Args:
        kind, name: what was asked for.
        known: the names of that kind that may be used, sorted.
        suggestion: the nearest of them, if one is near.
        broken: plugins that could not be loaded and might have offered it.
        blocked: distributions that `SPECFORGE_PLUGINS` left out and that might have offered it.
        elsewhere: other kinds that have a component or preset of this name.
    """

    def __init__(
        self,
        kind: Kind,
        name: str,
        known: tuple[str, ...],
        suggestion: str | None,
        broken: tuple[BrokenPlugin, ...] = (),
        blocked: tuple[str, ...] = (),
        elsewhere: tuple[Kind, ...] = (),
    ) -> None:
        notes = tuple(f"`{name}` is the name of a component of kind {other}" for other in elsewhere)
        notes += tuple(str(plugin) for plugin in broken)
        if blocked:
            notes += (f"{VARIABLE} keeps out {', '.join(blocked)}",)
        super().__init__(
            "SF201",
            f"unknown {kind} `{printable(name)}`",
            notes=notes,
            help=f"known are {', '.join(known)}" if suggestion is None else f"did you mean `{suggestion}`?",
        )
        self.kind = kind
        self.name = name
        self.known = known
        self.suggestion = suggestion
        self.broken = broken
        self.blocked = blocked


class AmbiguousComponentError(WrongInputError):
    """SF202: several plugins offer this name and none of them is meant more than the others.

    Args:
        kind, name: what was asked for.
        candidates: the qualified names to choose from, sorted.
    """

    def __init__(self, kind: Kind, name: str, candidates: tuple[str, ...]) -> None:
        super().__init__(
            "SF202",
            f"several plugins offer the {kind} `{name}`: {', '.join(candidates)}",
            help=f'write `use = "{candidates[0]}"`',
        )
        self.kind = kind
        self.name = name
        self.candidates = candidates


class Registry:
    """All components and presets of this process.

    Args:
        built_in: declarations of the built-in components.
        version: version of the distribution that they come with.
        plugins: the installed plugins.
    """

    def __init__(self, built_in: Sequence[Component | Preset], version: str, plugins: Plugins) -> None:
        self._built_in = {(item.kind, item.name): _entry(item, BUILT_IN, version) for item in built_in}
        self._own = PluginRecord(BUILT_IN, version, "built in", "built in", None, *offers(built_in))
        self._plugins = plugins

    def find(self, kind: Kind, name: str) -> Match:
        """Return what a spec means by `use = name`.

        Args:
            kind: kind of the table that it stands in.
            name: name of a component or preset; `distribution/name` asks one distribution only.

        Raises:
            UnknownComponentError: nobody offers it, or it is a preset of a component that nobody offers.
            AmbiguousComponentError: several plugins offer it.
        """
        entry = self._find_entry(kind, name)
        if isinstance(entry, Registered):
            return Match(entry, None, self._migrations(entry))
        registered = self.target(entry)
        return Match(registered, entry.preset, self._migrations(registered))

    def same(self, kind: Kind, name: str, other: str) -> bool:
        """Return whether two names of a kind stand for one component or preset; names that stand for nothing do not."""
        try:
            return self._find_entry(kind, name) == self._find_entry(kind, other)
        except (UnknownComponentError, AmbiguousComponentError):
            return False

    def distribution(self, kind: Kind, name: str) -> str:
        """Return which distribution offers a component or preset.

        Raises:
            UnknownComponentError, AmbiguousComponentError: as `find`.
        """
        return self._find_entry(kind, name).distribution

    def target(self, preset: RegisteredPreset) -> Registered:
        """Return the component that a preset's values are for.

        Raises:
            UnknownComponentError: nobody offers that component, or the name is itself a preset's.
        """
        kind = preset.preset.kind
        entry = self._find_entry(kind, preset.component)
        if isinstance(entry, RegisteredPreset):
            raise self._unknown(kind, preset.component)
        return entry

    def components(self, kind: Kind | None = None) -> tuple[Registered, ...]:
        """Return all components, plugins' too, sorted by distribution (built-ins first), kind and name."""
        found = (entry for entry in self._sorted() if isinstance(entry, Registered))
        return tuple(entry for entry in found if kind in {None, entry.component.kind})

    def presets(self, kind: Kind | None = None) -> tuple[RegisteredPreset, ...]:
        """Return all presets, plugins' too, in the order of `components`."""
        found = (entry for entry in self._sorted() if isinstance(entry, RegisteredPreset))
        return tuple(entry for entry in found if kind in {None, entry.preset.kind})

    def plugins(self) -> tuple[PluginRecord, ...]:
        """Load all allowed plugins and return a record of each one, the built-ins' first."""
        return (self._own, *self._plugins.records())

    def _migrations(self, registered: Registered) -> tuple[Migration, ...]:
        if registered.distribution == BUILT_IN:
            return ()  # version 1 of the language still has every field that it ever had
        component = registered.component
        return tuple(
            migration
            for plugin in self._plugins.load(registered.distribution)
            if isinstance(plugin, LoadedPlugin)
            for migration in plugin.migrations
            if (migration.kind, migration.name) == (component.kind, component.name)
        )

    def _sorted(self) -> list[_Entry]:
        def place(entry: _Entry) -> tuple[bool, str, int, str]:
            kind, name = _kind_and_name(entry)
            return entry.distribution != BUILT_IN, entry.distribution, KINDS.index(kind), name

        return sorted(self._entries(), key=place)

    def _entries(self, distribution: str | None = None) -> Iterator[_Entry]:
        """Yield what the built-ins and the plugins offer, or what one distribution does."""
        if distribution in {None, BUILT_IN}:
            yield from self._built_in.values()
        if distribution != BUILT_IN:
            for plugin in self._plugins.load(distribution):
                if isinstance(plugin, LoadedPlugin):
                    yield from _entries_of(plugin)

    def _find_entry(self, kind: Kind, name: str) -> _Entry:
        distribution, slash, bare = name.rpartition("/")
        if not slash and (kind, name) in self._built_in:
            return self._built_in[kind, name]
        entries = self._entries(normalised(distribution) if slash else None)
        found = [entry for entry in entries if _kind_and_name(entry) == (kind, bare)]
        if not found:
            raise self._unknown(kind, name)
        if len(found) > 1:
            raise AmbiguousComponentError(kind, name, tuple(sorted(entry.qualified for entry in found)))
        return found[0]

    def _unknown(self, kind: Kind, name: str) -> UnknownComponentError:
        names: dict[Kind, set[str]] = {}
        for entry in self._entries():
            of_kind, bare = _kind_and_name(entry)
            names.setdefault(of_kind, set()).add(entry.qualified if "/" in name else bare)
        known = sorted(names.get(kind, ()))
        return UnknownComponentError(
            kind,
            name,
            tuple(known),
            nearest(name, known),
            broken=tuple(plugin for plugin in self._plugins.load() if isinstance(plugin, BrokenPlugin)),
            blocked=tuple(source.distribution for source in self._plugins.blocked()),
            elsewhere=tuple(other for other in KINDS if name in names.get(other, ())),
        )


def _entry(item: Component | Preset, distribution: str, version: str) -> _Entry:
    if isinstance(item, Component):
        return Registered(distribution, version, item)
    return RegisteredPreset(distribution, version, item)


def _entries_of(plugin: LoadedPlugin) -> tuple[_Entry, ...]:
    source = plugin.source
    return tuple(_entry(item, source.distribution, source.version) for item in plugin.declarations)


def _kind_and_name(entry: _Entry) -> tuple[Kind, str]:
    item = entry.component if isinstance(entry, Registered) else entry.preset
    return item.kind, item.name


@cache
def load_registry() -> Registry:
    """Return the registry of this process: the built-ins, and the installed plugins that `SPECFORGE_PLUGINS` allows."""
    return Registry(declared(builtin), __version__, Plugins(find_plugins, allowed_plugins()))


def config_class(registered: Registered) -> type[ComponentConfig]:
    """Import and return a component's config class.

    Raises:
        RefusedError: SF210, it cannot be imported or is not a config of its kind.
    """
    component = registered.component
    expected = _CONFIG_BASES.get(component.kind, ComponentConfig)
    found = _imported(registered, component.config, RefusedError)
    if not (isinstance(found, type) and issubclass(found, expected)):
        raise _failed(registered, RefusedError, f"`{component.config}` is not a {expected.__name__}")
    return found


def factory(registered: Registered) -> Callable[..., object]:
    """Import and return what builds a component; `specforge.plugin` says what it is called with.

    Raises:
        StepFailedError: SF210, it cannot be imported or called.
    """
    found = _imported(registered, registered.component.factory, StepFailedError)
    if not callable(found):
        raise _failed(registered, StepFailedError, f"`{registered.component.factory}` cannot be called")
    return cast("Callable[..., object]", found)


def _imported(registered: Registered, target: str, failure: type[SpecforgeError]) -> object:
    module, _, attribute = target.partition(":")
    try:
        found: object = getattr(importlib.import_module(module), attribute)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a stranger's module may raise anything, SystemExit too
        if registered.distribution == BUILT_IN:
            raise  # our own fault: the traceback is what helps
        raise _failed(registered, failure, f"{type(error).__name__}: {error}") from error
    return found


def _failed(registered: Registered, failure: type[SpecforgeError], cause: str) -> SpecforgeError:
    component = registered.component
    return failure(
        "SF210",
        f"the {component.kind} `{registered.qualified}` cannot be loaded",
        notes=(printable(" ".join(cause.split())),),
        help=f"this is a fault of {registered.distribution} {registered.distribution_version}, tell its authors",
    )
