"""Plan files: a plan that can be run later, whatever becomes of its spec, and that notices when the world has changed.

The file is what `plan --json` prints, and what is needed to make the plan again: every resolved value with absolute data
paths, and the versions and digests that it was made from. It is made again through the compiler, from these values instead of
the spec; a key that comes out otherwise is a change of the world, and what changed is named.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from specforge.foundation.canonical import digest_bytes
from specforge.foundation.durable import json_text
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.terminal import printable
from specforge.language.messages.wording import first_fault
from specforge.language.resolve import load_spec
from specforge.language.spec import Origin, Point, Spec, Sweep, Swept, ValuePath
from specforge.language.sweeps.names import typed_name
from specforge.language.text.toml_text import toml_document
from specforge.planning.lock.changes import Change, contents, data_changes
from specforge.planning.lock.contents import LOCK_FORMAT, Lock, LockedFile, PointSteps, make_lock, resolved_values
from specforge.planning.plan import Plan
from specforge.planning.plan_json import PLAN_FORMAT, plan_json
from specforge.planning.world import Files

_DIGEST: Final = "digest"
_SWEEP: Final = "sweep"
_RESOLVED: Final[ValuePath] = ("lock", "resolved")
_INDENT: Final = 2  # columns, in `json_text`
_LARGEST: Final = 64 << 20  # bytes


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PlannedPoint(_Table):
    """A point of a sweep.

    Args:
        number, name: as in `language.spec.Point`.
        values: dotted path → value, as `--set` writes them.
        steps: its plan as JSON, as `plan_json` writes it.
        resolved: all values of its spec, data paths absolute.
    """

    number: int
    name: str
    values: dict[str, JsonValue]
    steps: list[dict[str, JsonValue]]
    resolved: dict[str, JsonValue]


class PlanFile(_Table):
    """What a plan file holds.

    Args:
        format, name, spec, steps: the plan as JSON, as `plan_json` writes it; no steps for a sweep.
        set: the `--set` arguments that the spec was loaded with, as far as they say what is in force.
        point: the point of the spec's sweep that this is the plan of, if it is one's.
        store: the store that it was planned for, absolute.
        lock: what it was made from, with absolute paths; of a sweep, what all points were made from.
        fields: paths of the fields that a sweep varies.
        points: the points of the sweep.
        digest: SHA-256 of the other fields as they are written.
    """

    format: int
    name: str
    spec: str
    steps: list[dict[str, JsonValue]]
    assignments: list[str] = Field(alias="set")
    point: int | None
    store: str
    lock: Lock
    fields: list[list[str | int]]
    points: list[PlannedPoint]
    digest: str


def plan_document(
    spec: Spec, plan: Plan, store: Path, points: Sequence[tuple[Spec, Plan]] = ()
) -> dict[str, JsonValue]:
    """Return a plan file as JSON.

    Args:
        spec: the spec.
        plan: its plan.
        store: the folder of the store.
        points: the points of its sweep with their plans, in order.
    """
    document = plan_json(plan)
    if points:
        document["steps"] = []
    document |= {
        "set": list(_assignments(spec)),
        "point": None if spec.point is None else spec.point.number,
        "store": str(store),
        "lock": lock_with_paths(spec, plan, points).model_dump(mode="json"),
        "fields": [] if spec.sweep is None else [list(swept.path) for swept in spec.sweep.fields],
        "points": [_point_json(one, planned) for one, planned in points],
    }
    return document | {_DIGEST: _digest(document)}


def lock_with_paths(spec: Spec, plan: Plan, points: Iterable[tuple[Spec, Plan]]) -> Lock:
    """Return the lock of a plan, of all points if it is a sweep's, with absolute paths."""
    steps = [PointSteps(one, planned.steps, one.name) for one, planned in points]
    return make_lock(spec, steps or [PointSteps(spec, plan.steps)], portable=False)


def _point_json(spec: Spec, plan: Plan) -> JsonValue:
    point = spec.point
    assert point is not None, "it was made from a sweep"
    return {
        "number": point.number,
        "name": point.name,
        "values": {typed_name(path): value for path, value in point.values.items()},
        "steps": plan_json(plan)["steps"],
        "resolved": resolved_values(spec, portable=False),
    }


def _assignments(spec: Spec) -> Iterator[str]:
    origins = (origin for history in spec.origins.values() for origin in history)
    yield from dict.fromkeys(origin.source for origin in origins if origin.layer == "set")


def _digest(document: dict[str, JsonValue]) -> str:
    return digest_bytes(json_text({name: value for name, value in document.items() if name != _DIGEST}))


def read_plan_file(path: Path) -> PlanFile:
    """Read a plan file.

    Raises:
        WrongInputError: there is no such file (SF501), or it is no plan file (SF113).
        OSError: the system does not let us read it.
    """
    raw = _read_bytes(path)
    document = _parsed(path, raw)
    if not isinstance(document, dict) or not {"format", "name", "spec", "steps"} <= document.keys():
        raise _no_plan(path, "this is no plan of specforge")
    lock = document.get("lock")
    formats = (document["format"], lock.get("format") if isinstance(lock, dict) else LOCK_FORMAT)
    if formats != (PLAN_FORMAT, LOCK_FORMAT):
        raise _no_plan(path, f"a plan file of another format; this specforge knows format {PLAN_FORMAT}")
    if lock is None:
        raise _no_plan(path, "this is a plan to be read by programs, as `plan --json` prints it; it cannot be run")
    if document.get(_DIGEST) != _digest(document) or raw != json_text(document):
        raise _no_plan(path, "this plan file was changed after it was written")
    try:
        return PlanFile.model_validate(document)
    except ValidationError as error:
        raise _no_plan(path, f"this plan file is damaged: {first_fault(error)}") from error


def _read_bytes(path: Path) -> bytes:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            raise _no_plan(path, "this is no plan of specforge: no regular file, or a very large one")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise WrongInputError("SF501", "no such file", place=Place(str(path))) from None


def _parsed(path: Path, raw: bytes) -> JsonValue:
    try:
        document: JsonValue = json.loads(raw)
    except json.JSONDecodeError as error:
        place = Place(str(path), error.lineno, error.colno)
        raise _no_plan(path, f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}", place) from error
    except (ValueError, RecursionError) as error:
        raise _no_plan(path, "not JSON") from error
    return document


def _no_plan(path: Path, message: str, place: Place | None = None) -> WrongInputError:
    help_text = "`specforge plan SPEC -o FILE` writes a plan that can be run"
    return WrongInputError("SF113", message, place=place or Place(str(path)), help=help_text)


def planned_specs(file: PlanFile, path: Path) -> tuple[Spec, tuple[Spec, ...]]:
    """Return the spec of a plan file and those of its points; the spec file itself is not looked at.

    Args:
        file: the plan file.
        path: where it is.

    Raises:
        SpecError: the values are no spec with what is installed now.
    """
    return _Restored(file, path).specs()


class _Restored:
    """Specs from the values in a plan file, each value with its place there."""

    def __init__(self, file: PlanFile, path: Path) -> None:
        self._file = file
        self._path = path
        self._lines = line_numbers(file.model_dump(mode="json", by_alias=True))

    def specs(self) -> tuple[Spec, tuple[Spec, ...]]:
        points = [self._point(point) for point in self._file.points]
        specs = tuple(
            replace(self._spec(planned.resolved, ("points", nth, "resolved")), point=point)
            for nth, (planned, point) in enumerate(zip(self._file.points, points, strict=True))
        )
        values = self._file.lock.resolved
        spec = self._spec({name: value for name, value in values.items() if name != _SWEEP}, _RESOLVED)
        table = values.get(_SWEEP)
        if not isinstance(table, dict):
            return spec, specs
        return replace(spec, sweep=Sweep(self._swept(points), tuple(points), table)), specs

    def _spec(self, values: Mapping[str, JsonValue], here: ValuePath) -> Spec:
        spec = load_spec(self._path, text=toml_document(values))
        origins = {
            field: tuple(self._placed(origin, (*here, *field)) for origin in history)
            for field, history in spec.origins.items()
        }
        # warnings would point into a text that nobody wrote; they were shown when the plan was made
        return replace(spec, path=Path(self._file.spec), origins=origins, warnings=())

    def _placed(self, origin: Origin, here: ValuePath) -> Origin:
        """Return an origin with the place of its value in the plan file."""
        return replace(origin, place=self._place(here), source=str(self._path)) if origin.layer == "spec" else origin

    def _place(self, here: ValuePath) -> Place:
        return Place(str(self._path), self._lines[here], _INDENT * len(here) + 1)

    def _point(self, planned: PlannedPoint) -> Point:
        fields = {typed_name(path): path for path in map(tuple, self._file.fields)}
        values = {path: planned.values[name] for name, path in fields.items() if name in planned.values}
        return Point(planned.number, planned.name, values)

    def _swept(self, points: Sequence[Point]) -> tuple[Swept, ...]:
        swept = []
        for nth, path in enumerate(map(tuple, self._file.fields)):
            values: list[JsonValue] = []
            for point in points:
                if path in point.values and point.values[path] not in values:
                    values.append(point.values[path])
            swept.append(Swept(path, tuple(values), self._place(("fields", nth))))
        return tuple(swept)


def line_numbers(value: JsonValue) -> dict[ValuePath, int]:
    """Return the line, from 1, on which each value begins in the text that `json_text` makes of a document."""
    lines: dict[ValuePath, int] = {}

    def number(value: JsonValue, path: ValuePath, line: int) -> int:
        lines[path] = line
        if isinstance(value, dict):
            for key, item in value.items():
                line = number(item, (*path, key), line + 1)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                line = number(item, (*path, index), line + 1)
        return line + bool(isinstance(value, dict | list) and value)  # for the bracket that closes it

    number(value, (), 1)
    return lines


def changed_files(lock: Lock, files: Files) -> tuple[Change, ...]:
    """Return the data files of a lock with absolute paths that hold something else now, or cannot be read."""
    found: list[LockedFile] = []
    unread: list[Change] = []
    for file in lock.data:
        try:
            facts = files.inspect(Path(file.path))
        except WrongInputError as error:
            what = f"data {file.role} ({printable(file.path, longest=500)})"
            unread.append(Change("data", what, contents(file), error.message))
        else:
            found.append(file.model_copy(update={"lines": facts.lines, "digest": facts.digest}))
    roles = {file.role for file in found}
    known = lock.model_copy(update={"data": [file for file in lock.data if file.role in roles]})
    return (*unread, *data_changes(known, found))
