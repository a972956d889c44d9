"""From the errors of a check to diagnostics: each at the text that somebody typed, with what to type instead."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeGuard

from pydantic import BaseModel

from specforge.foundation.terminal import printable
from specforge.language.fields import field_at, model_at
from specforge.language.messages import wording
from specforge.language.messages.advice import Advisor
from specforge.language.messages.diagnostics import Diagnostic, Label
from specforge.language.schema.document import EXAMPLES, ROOT_VALUES, SHAPES
from specforge.language.validation import concerned_fields

if TYPE_CHECKING:
    from pydantic import JsonValue
    from pydantic_core import ErrorDetails

    from specforge.language.merge import Merged
    from specforge.language.migration.migrations import FormerKey
    from specforge.language.spec import ValuePath
    from specforge.plugin import Migration


@dataclass(frozen=True, slots=True)
class CheckedTable:
    """A table and the model that checked it.

    Args:
        path: where it stands; `()` is the root.
        model: its fields.
        values: what was checked, values of a preset among them.
        notes: what a reader should know of it, like which component it is.
        help: where its fields are listed.
        preset: values that a preset gives it.
        preset_name: name of the preset.
        source: who gives its defaults, for notes: `specforge/transformer@1`.
        migrations: what became of fields that the component used to have.
        default_use: the component where the spec names none, for a component's table that has one.
    """

    path: ValuePath
    model: type[BaseModel]
    values: JsonValue
    notes: tuple[str, ...] = ()
    help: str | None = None
    preset: Mapping[str, JsonValue] = field(default_factory=dict)
    preset_name: str | None = None
    source: str = "specforge"
    default_use: str | None = None
    migrations: Sequence[Migration] = ()


@dataclass(frozen=True, slots=True)
class _Problem:
    """One or several errors of pydantic about one value.

    Args:
        path: where the value stands, from the root.
        value: what was found there.
        errors: several where the value may have several types.
    """

    path: ValuePath
    value: JsonValue
    errors: tuple[ErrorDetails, ...]

    @property
    def is_unknown_key(self) -> bool:
        """Whether it is a key that the table does not have."""
        return self.errors[0]["type"] == "extra_forbidden"


class Explainer:
    """Says what is wrong in words of the spec.

    Args:
        merged: the tree that was checked.
        tables: all tables of the spec with their models, for keys that belong elsewhere.
        complete: False when a file could not be read, so that a missing key may stand there.
    """

    def __init__(self, merged: Merged, tables: Sequence[CheckedTable], *, complete: bool) -> None:
        self._merged = merged
        self._complete = complete
        self._advisor = Advisor([(table.path, table.model) for table in tables])

    @property
    def meant(self) -> AbstractSet[ValuePath]:
        """Paths that unknown keys seem to be meant for: what is missing there is explained."""
        return self._advisor.meant

    def explain(self, table: CheckedTable, errors: Iterable[ErrorDetails]) -> Iterator[Diagnostic]:
        """Yield a diagnostic for each problem of one table that is not one already."""
        return self.explain_all([(table, errors)])

    def explain_all(self, checked: Iterable[tuple[CheckedTable, Iterable[ErrorDetails]]]) -> Iterator[Diagnostic]:
        """Yield a diagnostic for each problem that is not one already; unknown keys first, for they explain missing ones.

        Args:
            checked: all tables with what their models say of them.
        """
        problems = [(table, problem) for table, errors in checked for problem in _grouped(table, errors)]
        unknown = [(table, problem) for table, problem in problems if problem.is_unknown_key]
        for table, problem in (*unknown, *(each for each in problems if not each[1].is_unknown_key)):
            diagnostic = self._explained(table, problem)
            if diagnostic is not None:
                yield diagnostic

    def _explained(self, table: CheckedTable, problem: _Problem) -> Diagnostic | None:
        first = problem.errors[0]
        layer = self._merged.layer_of(problem.path)
        if layer is not None and layer.is_faulty(problem.path):
            return None
        match first["type"]:
            case "extra_forbidden":
                return self._unknown_key(table, problem.path)
            case "missing" if _is_element(first):
                return self._too_few(table, problem)
            case "missing" | "missing_one_of":
                return self._missing(table, problem)
        if _is_labelled(first.get("ctx", {}).get("labels")):
            return self._disagreement(table, problem.path, first)
        return self._wrong_value(table, problem)

    def _unknown_key(self, table: CheckedTable, path: ValuePath) -> Diagnostic | None:
        key = str(path[-1])
        model = model_at(table.model, path[len(table.path) : -1])
        known = [] if model is None else list(model.model_fields)
        words = self._advisor.advice(path, known, takes_use=table.path == path[:-1] and bool(table.help))
        name = wording.table_name(path[:-1])
        message = f"unknown key `{printable(key)}` in {name}" if path[:-1] else f"unknown key `{printable(key)}`"
        former = self._former(table, path)
        if former is not None:
            words = former.words
            self._advisor.meant.update((*path[:-1], name) for name in former.present)
        label = self._merged.label(path, words, key=True)
        if label is None:  # it comes from a preset: its author's mistake, found where the preset is asked for
            return self._preset_fault(table, path, "is no key of the component")
        notes = table.notes
        if not words and known and table.help is None:
            notes = (*notes, f"{name if path[:-1] else 'a spec'} has the keys {', '.join(known)}")
        return Diagnostic("SF101", message, (label,), notes, table.help if former is None else former.help)

    def _former(self, table: CheckedTable, path: ValuePath) -> FormerKey | None:
        """Return what to say of a key that the component used to have, or None where it never had it."""
        if not table.migrations or path[:-1] != table.path:
            return None
        from specforge.language.migration.migrations import about_former  # most plugins have kept all their fields

        return about_former(self._merged, table, str(path[-1]))

    def _missing(self, table: CheckedTable, problem: _Problem) -> Diagnostic | None:
        """Return what to say of what is missing, or None where it may be in a file that could not be read, or was mistyped."""
        first = problem.errors[0]
        names = [(*problem.path, name) for name in concerned_fields(first)] or [problem.path]
        if not self._complete or any(name in self.meant for name in names):
            return None
        if first["type"] == "missing":
            return self._missing_key(table, problem.path)
        label = self._merged.missing_label(problem.path, "not given here")
        return Diagnostic("SF102", first["msg"], (label,), help=_help(first))

    def _missing_key(self, table: CheckedTable, path: ValuePath) -> Diagnostic:
        key, parent = str(path[-1]), path[:-1]
        information = field_at(table.model, path[len(table.path) :])
        meaning = information.description if information is not None else None
        help_text = EXAMPLES.get(path) or (f"`{key}`: {meaning}" if meaning else None)
        what, name = ("table", f"[{key}]") if not parent and key not in ROOT_VALUES else ("key", f"`{key}`")
        where = f" in {wording.table_name(parent)}" if parent else ""
        label = self._merged.missing_label(parent, f"{name} is required", first=path == ("specforge",))
        return Diagnostic("SF102", f"missing {what} {name}{where}", (label,), table.notes, help_text)

    def _too_few(self, table: CheckedTable, problem: _Problem) -> Diagnostic:
        """Return what to say of an array whose last elements are missing."""
        count = max(int(error["loc"][-1]) for error in problem.errors) + 1
        message = f"`{self._name(problem.path)}` must be {count} elements long"
        label = self._merged.label(problem.path)
        if label is None:
            return self._preset_fault(table, problem.path, message)
        return Diagnostic("SF103", message, (label,), table.notes)

    def _disagreement(self, table: CheckedTable, path: ValuePath, error: ErrorDetails) -> Diagnostic:
        context = error.get("ctx", {})
        labels: list[Label] = []
        notes: list[str] = []
        for name, words in context["labels"].items():
            label = self._merged.label((*path, name), words, primary=not labels)
            if label is not None:
                labels.append(label)
            elif name in table.preset:
                notes.append(f"`{name}` is {json.dumps(table.preset[name])} by preset `{table.preset_name}`: {words}")
            else:
                notes.append(f"`{name}` has its default, from {table.source}: {words}")
        if not labels:
            where = self._merged.label((*table.path, "use")) or self._merged.label(table.path)
            labels = [where] if where else []
        return Diagnostic("SF301", error["msg"], tuple(labels), tuple(notes), _help(error))

    def _wrong_value(self, table: CheckedTable, problem: _Problem) -> Diagnostic:
        path = problem.path
        wrong = wording.wrong_value(self._name(path), str(path[-1]), problem.value, problem.errors, _shape(path))
        label = self._merged.label(path, wrong.label)
        if label is None:
            return self._preset_fault(table, path, wrong.message)
        return Diagnostic("SF103", wrong.message, (label,), () if wrong.is_type else table.notes, wrong.help)

    def _name(self, path: ValuePath) -> str:
        """Return the name of a value as it was typed, shorthands left short."""
        layer = self._merged.layer_of(path)
        typed = path if layer is None else layer.document.typed_path(path)
        is_swept = typed[:1] == ("sweep",) != path[:1]
        return wording.dotted(path if is_swept else typed)

    def _preset_fault(self, table: CheckedTable, path: ValuePath, message: str) -> Diagnostic:
        label = self._merged.label((*table.path, "use")) or self._merged.label(table.path)
        labels = () if label is None else (label,)
        return Diagnostic("SF210", f"a preset gives `{path[-1]}` a wrong value: {message}", labels, table.notes)


def _is_element(error: ErrorDetails) -> bool:
    """Return whether what is missing is an element of an array, and not a key of a table."""
    return error["type"] == "missing" and isinstance(error["loc"][-1], int)


def _help(error: ErrorDetails) -> str | None:
    """Return what the author of a check says should be typed instead."""
    text = error.get("ctx", {}).get("help")
    return None if text is None else str(text)


def _grouped(table: CheckedTable, errors: Iterable[ErrorDetails]) -> list[_Problem]:
    """Gather errors by the value that they are about.

    Where a value may have several types, pydantic reports one error for each and puts the type's name into the location;
    a part of a location that the values do not have is such a name.
    """
    groups: dict[tuple[ValuePath, str], tuple[JsonValue, list[ErrorDetails]]] = {}
    for error in errors:
        is_missing = error["type"] == "missing"
        location = error["loc"][:-1] if is_missing else error["loc"]
        path, value = table.path, table.values
        for part in location:
            if isinstance(value, dict) and part in value:
                path, value = (*path, part), value[str(part)]
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                path, value = (*path, part), value[part]
        if is_missing and not _is_element(error):
            path = (*path, error["loc"][-1])
        apart = error["type"] if is_missing or concerned_fields(error) else ""  # not about the value's own type
        groups.setdefault((path, apart), (value, []))[1].append(error)
    problems = [_Problem(path, value, tuple(found)) for (path, _), (value, found) in groups.items()]
    around = {problem.path[:length] for problem in problems for length in range(len(problem.path))}
    around |= {problem.path for problem in problems if _is_element(problem.errors[0])}
    return [problem for problem in problems if not (problem.path in around and _is_about_type(problem))]


def _is_about_type(problem: _Problem) -> bool:
    """Return whether a value has the wrong type: beside the point where something inside it is wrong for another type."""
    return all(wording.expected_type(error["type"]) for error in problem.errors)


def _shape(path: ValuePath) -> str | None:
    """Return what may stand at a path that takes a shorthand."""
    if path[:2] == ("data", "test"):
        path = ("data", "test", *("*" for _ in path[2:3]), *path[3:])
    return SHAPES.get(tuple("*" if isinstance(part, int) else part for part in path))


def _is_labelled(labels: object) -> TypeGuard[Mapping[str, str]]:
    return isinstance(labels, Mapping)
