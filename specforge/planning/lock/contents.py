"""Locks: what the results of a spec are made from, written down so that a difference can be named later.

A lock file `<spec>.lock` is TOML that lies beside its spec in git: versions of components and plugins, digests of the data,
every resolved value, the key of every step. No path of a machine stands in it. A plan file holds the same facts, with the
absolute paths that are needed to run it (`specforge.planning.plan_file`).
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from specforge import __version__
from specforge.language import model_folders
from specforge.language.component_places import COMPONENT_TABLES, component_kind
from specforge.language.merge import leaves
from specforge.language.normalise import SINGLE_TEST
from specforge.language.plugins import BUILT_IN
from specforge.language.registry import load_registry
from specforge.language.spec import Spec, ValuePath
from specforge.language.tree import replace_at
from specforge.planning import inputs
from specforge.planning.identity import distribution_digest
from specforge.planning.plan import InputFile, Step
from specforge.plugin import KEYLESS_KINDS

LOCK_FORMAT: Final = 1

_ROOT: Final[ValuePath] = ("data", "root")
_FOLDERS: Final[Mapping[str, ValuePath]] = MappingProxyType(
    {
        inputs.ENSEMBLE: model_folders.ENSEMBLE,
        inputs.LANGUAGE_MODEL: model_folders.LANGUAGE_MODEL,
        inputs.RERANK: model_folders.RERANK,
        inputs.VOCABULARY: model_folders.VOCABULARY,
    }
)
"""First part of the role of a model folder → where the spec names it."""


class _Row(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class LockedComponent(_Row):
    """A component that a spec uses.

    Args:
        path: the table that names it, dotted: `model`, `generate.metrics.0`.
        kind: its kind.
        name: its name.
        distribution: who offers it.
        version: its declared version.
        digest: of its code, where that is installed editable.
    """

    path: str
    kind: str
    name: str
    distribution: str
    version: int
    digest: str | None = None

    @property
    def qualified(self) -> str:
        """The unambiguous name: `specforge/transformer`."""
        return f"{self.distribution}/{self.name}"

    @property
    def identity(self) -> str:
        """Name, version and digest, as keys hold them."""
        return f"{self.qualified}@{self.version}" + (f"+{self.digest}" if self.digest else "")


class LockedPlugin(_Row):
    """A distribution that offers components or presets of a spec, specforge itself excluded.

    Args:
        name: its normalised name.
        version: its version.
        digest: of its code, where it is installed editable.
    """

    name: str
    version: str
    digest: str | None = None


class LockedFile(_Row):
    """A data file.

    Args:
        role: what it is to the experiment: `train/0/source`, `valid/target`, `test/source`, `test.newstest2014/source`.
        path: where it was; for people, since only its content counts.
        lines: number of lines.
        digest: SHA-256 of the decompressed bytes.
    """

    role: str
    path: str
    lines: int
    digest: str


class LockedStep(_Row):
    """A step.

    Args:
        id: its id.
        kind: its kind.
        key: its key.
        point: name of the point of a sweep that it belongs to.
    """

    id: str
    kind: str
    key: str
    point: str | None = None


class Lock(_Row):
    """What the results of a spec are made from. Lists are named in the singular: `[[component]]` reads well in TOML.

    Args:
        format: version of this layout.
        specforge: version of specforge.
        component: in the order of the tables of a spec.
        plugin: sorted by name.
        data: in the order in which steps read them.
        resolved: all values of the resolved spec; what has none is left out.
        step: in the order of running.
    """

    format: int = LOCK_FORMAT
    specforge: str
    component: list[LockedComponent] = Field(default_factory=list)
    plugin: list[LockedPlugin] = Field(default_factory=list)
    data: list[LockedFile] = Field(default_factory=list)
    resolved: dict[str, JsonValue]
    step: list[LockedStep]


@dataclass(frozen=True, slots=True)
class PointSteps:
    """The steps of one point of a sweep, or of a spec that has none.

    Args:
        spec: the spec that is that point.
        steps: its steps with their keys.
        name: the point's name; None without a sweep.
    """

    spec: Spec
    steps: Sequence[Step]
    name: str | None = None


def make_lock(spec: Spec, points: Sequence[PointSteps], *, portable: bool) -> Lock:
    """Return the lock of a spec.

    Args:
        spec: the spec, as it is written.
        points: it and its steps, or all points of its sweep with theirs.
        portable: whether to write data paths as they are typed, and files relative to the spec, instead of absolute ones.
    """
    components = _unique(component for point in points for component in _components(point))
    return Lock(
        specforge=__version__,
        component=components,
        plugin=_plugins(points, components),
        data=_unique(file for point in points for file in _files(point, portable=portable)),
        resolved=resolved_values(spec, portable=portable),
        step=[
            LockedStep(id=step.id, kind=step.kind, key=step.key, point=point.name)
            for point in points
            for step in point.steps
        ],
    )


_RowT = TypeVar("_RowT", bound=_Row)


def _unique(rows: Iterable[_RowT]) -> list[_RowT]:
    found: list[_RowT] = []
    for row in rows:
        if row not in found:
            found.append(row)
    return found


def _components(point: PointSteps) -> Iterator[LockedComponent]:
    used = {path: identity for step in point.steps for path, identity in step.components.items()}
    tables = [".".join(path) for path in COMPONENT_TABLES]
    for path in [*(path for path in tables if path in used), *(path for path in used if path not in tables)]:
        qualified, _, version = used[path].rpartition("@")
        distribution, _, name = qualified.partition("/")
        number, _, digest = version.partition("+")
        yield LockedComponent(
            path=path,
            kind=str(component_kind(path.split("."))),
            name=name,
            distribution=distribution,
            version=int(number),
            digest=digest or None,
        )


def _plugins(points: Sequence[PointSteps], components: Sequence[LockedComponent]) -> list[LockedPlugin]:
    registry = load_registry()
    names = {component.distribution for component in components}
    for part in (part for point in points for part in point.spec.parts.values()):
        if part.preset is None or part.registered.component.kind in KEYLESS_KINDS:
            continue
        names.add(registry.distribution(part.registered.component.kind, part.preset))
    return [installed_plugin(name) for name in sorted(names - {BUILT_IN})]


def installed_plugin(name: str) -> LockedPlugin:
    """Return what is installed of a distribution; nothing of it is imported.

    Raises:
        importlib.metadata.PackageNotFoundError: it is not installed.
    """
    return LockedPlugin(name=name, version=importlib.metadata.version(name), digest=distribution_digest(name))


def _files(point: PointSteps, *, portable: bool) -> Iterator[LockedFile]:
    for step in point.steps:
        for file in step.inputs:
            test = step.id.partition(".")[2] if file.role.partition("/")[0] == "test" else None
            role = file.role if test in {None, SINGLE_TEST} else f"test.{test}{file.role.removeprefix('test')}"
            path = _portable(point.spec, file, test) if portable else str(file.path)
            yield LockedFile(role=role, path=path, lines=file.lines, digest=file.digest)


def _portable(spec: Spec, file: InputFile, test: str | None) -> str:
    """Return where a file is as seen from the spec; the absolute path only where the spec has one.

    Where `--set` says where all data lie, which is another place on every machine, it is seen from there.
    """
    table, _, rest = file.role.partition("/")
    if table in _FOLDERS:
        typed = _typed(spec, _FOLDERS[table])
        return _seen_from_spec(spec, file, typed[int(rest)] if isinstance(typed, list) else typed)
    root = _placed_root(spec)
    if root is not None:
        return PurePath(os.path.relpath(file.path, root)).as_posix()
    corpus: ValuePath = ("data", table)
    if table == "train":
        corpus = ("data", "train", int(rest.partition("/")[0]))
    elif test is not None:
        corpus = ("data", "test", test)
    start = _ROOT if _typed(spec, _ROOT) is not None else (*corpus, "path")
    return _seen_from_spec(spec, file, _typed(spec, start))


def _seen_from_spec(spec: Spec, file: InputFile, typed: JsonValue) -> str:
    """Return the path of a file relative to the spec, unless what was typed is absolute and leads elsewhere."""
    folder = spec.path.parent.absolute()
    if PurePath(str(typed)).is_absolute() and not file.path.is_relative_to(folder):
        return str(file.path)
    return PurePath(os.path.relpath(file.path, folder)).as_posix()


def _placed_root(spec: Spec) -> str | None:
    """Return the folder of all data where `--set` names it."""
    data = spec.tree["data"]
    assert isinstance(data, dict)
    root = data["root"]
    return root if isinstance(root, str) and spec.origins[_ROOT][-1].layer == "set" else None


def _typed(spec: Spec, path: ValuePath) -> JsonValue:
    return spec.origins[path][-1].value


def resolved_values(spec: Spec, *, portable: bool) -> dict[str, JsonValue]:
    """Return all values of a spec that it has; data paths as they are typed if it is to be portable, else absolute."""
    tree = _filled(dict(spec.tree))
    assert isinstance(tree, dict)
    if spec.sweep is not None:
        table: JsonValue = dict(spec.sweep.table)
        tree["sweep"] = _seen_from(spec.path.parent.absolute(), table) if portable else table
    if portable:
        replace_at(tree, _ROOT, None if _placed_root(spec) is not None else _typed(spec, _ROOT))
        found = [path for path, _ in leaves(tree["data"], ("data",)) if path[-1] == "path"]
        for path in [*found, *(path for path in _FOLDERS.values() if path in spec.origins)]:
            replace_at(tree, path, _typed(spec, path))
    filled = _filled(tree)
    assert isinstance(filled, dict)
    return filled


def _seen_from(folder: Path, value: JsonValue) -> JsonValue:
    """Return a value with the absolute paths in it as they are seen from a folder."""
    if isinstance(value, str):
        return PurePath(os.path.relpath(value, folder)).as_posix() if PurePath(value).is_absolute() else value
    if isinstance(value, dict):
        return {key: _seen_from(folder, item) for key, item in value.items()}
    return [_seen_from(folder, item) for item in value] if isinstance(value, list) else value


def is_data_path(path: ValuePath) -> bool:
    """Return whether a value says where data or models are, and nothing of what they are."""
    return path in {_ROOT, *_FOLDERS.values()} or (path[0] == "data" and path[-1] == "path")


def _filled(value: JsonValue) -> JsonValue:
    """Return a value without what is None or empty inside it: TOML has no null, and no header stands for an empty table."""
    if isinstance(value, dict):
        kept = {key: _filled(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None and item != {}}
    return [_filled(item) for item in value] if isinstance(value, list) else value
