"""The explanation of a value: what it is, who said so, and which results depend on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pydantic import JsonValue

from specforge import __version__
from specforge.foundation.errors import Place
from specforge.language.history import Statement, Statements
from specforge.language.model_folders import ENSEMBLE, LANGUAGE_MODEL, RERANK, VOCABULARY
from specforge.language.registry import load_registry
from specforge.language.spec import Origin, Part, Spec, Swept, ValuePath
from specforge.planning.comparison.variation import Variant, value_at
from specforge.planning.declaration import Declaration, component_at, declaration
from specforge.planning.explanation.reach import Reach, reach
from specforge.planning.inputs import Inputs
from specforge.planning.plan import InputFile, Step

Layer: TypeAlias = Literal["default", "preset", "spec", "set"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a value's history.

    Args:
        layer: what kind of place says it.
        value: what it says.
        place: where it stands; None for a default or a preset.
        source: for a default or a preset who says so (`specforge/adam@1`, `preset transformer_tiny`), for `--set` the
            argument, else the file as typed.
        offered_by: for a default or a preset the distribution with its version; None where nobody installed it.
        in_force: whether this is the value that counts.
        extended: where another file extends the one that it stands in.
        removed: where an `unset` removes it.
        replaced: what a stronger layer puts in the place of the table or list around it.
    """

    layer: Layer
    value: JsonValue
    place: Place | None
    source: str
    offered_by: str | None = None
    in_force: bool = False
    extended: Place | None = None
    removed: Place | None = None
    replaced: Place | None = None


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A data file that a corpus is read from, and the ids of the steps that read it."""

    file: InputFile
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FieldExplanation:
    """The explanation of one value.

    Args:
        path: where it is in the tree.
        value: the value in force; None is unset.
        declared: where its field is declared, and what that says.
        history: strongest first.
        removals: `unset`s that name it, strongest first.
        swept: what the sweep of the spec varies: it, or a table that it stands in.
        reach: which steps' keys hold it.
        files: the data files, for the path of a corpus.
    """

    path: ValuePath
    value: JsonValue
    declared: Declaration
    history: tuple[Entry, ...]
    removals: tuple[Place, ...]
    swept: tuple[Swept, ...]
    reach: Reach
    files: tuple[ReadFile, ...]


@dataclass(frozen=True, slots=True)
class TableExplanation:
    """The explanation of a table or a list of tables.

    Args:
        path: where it is in the tree.
        component: what the table is a table of, if `use` names a component in it.
        rows: path, value and the entry in force of each value in it.
        removals: `unset`s that name it, strongest first.
        swept: what the sweep of the spec varies in it, or around it.
        reach: which steps' keys hold any of its values.
    """

    path: ValuePath
    component: Part | None
    rows: tuple[tuple[ValuePath, JsonValue, Entry], ...]
    removals: tuple[Place, ...]
    swept: tuple[Swept, ...]
    reach: Reach


def explain_path(
    path: ValuePath, variant: Variant, statements: Statements, steps: tuple[Step, ...]
) -> FieldExplanation | TableExplanation:
    """Explain a value or a table.

    Args:
        path: of something in the tree.
        variant: the spec with its data files.
        statements: the layers of the spec.
        steps: of the plan, for the readers of data files.
    """
    spec = variant.spec
    if path in spec.origins:
        return _field(path, variant, statements, steps)
    inside = [leaf for leaf in spec.origins if leaf[: len(path)] == path]
    rows = (
        (leaf, value_at(spec, leaf), next(entry for entry in _history(leaf, spec, statements) if entry.in_force))
        for leaf in inside
    )
    removals, swept = statements.removals(path), _swept(path, spec)
    return TableExplanation(path, spec.parts.get(path), tuple(rows), removals, swept, reach(path, variant))


def _field(path: ValuePath, variant: Variant, statements: Statements, steps: tuple[Step, ...]) -> FieldExplanation:
    spec = variant.spec
    declared = declaration(path, spec)
    return FieldExplanation(
        path,
        value_at(spec, path),
        declared,
        tuple(_history(path, spec, statements)),
        statements.removals(path),
        _swept(path, spec),
        reach(path, variant),
        tuple(_files(path, variant.inputs, steps)),
    )


def _swept(path: ValuePath, spec: Spec) -> tuple[Swept, ...]:
    """Return what the sweep of a spec varies at, around or below a path."""
    fields = () if spec.sweep is None else spec.sweep.fields
    return tuple(field for field in fields if field.path[: len(path)] == path[: len(field.path)])


def _history(path: ValuePath, spec: Spec, statements: Statements) -> list[Entry]:
    """Return the history of a leaf, strongest first."""
    origins = spec.origins[path]
    kept = {(origin.place, origin.source) for origin in origins}
    entries: list[Entry] = []
    for statement in statements.about(path):
        counts = (statement.place, statement.source) in kept
        # what does not count went with a table that was removed or replaced; what does was said anew since
        entries.append(_said(statement if not counts else replace(statement, removed=None, replaced=None)))
    said = {(entry.place, entry.source) for entry in entries}
    above = sum(entry.layer == "set" for entry in entries)  # the values of a point lie between the files and `--set`
    pointed = [
        _unsaid(origin) for origin in reversed(origins) if origin.place and (origin.place, origin.source) not in said
    ]
    entries[above:above] = pointed
    entries += [
        replace(_unsaid(origin), offered_by=_offered_by(origin, path, spec))
        for origin in reversed(origins)
        if origin.place is None
    ]
    last = origins[-1]
    number = next(nth for nth, entry in enumerate(entries) if (entry.place, entry.source) == (last.place, last.source))
    entries[number] = replace(entries[number], in_force=True)
    return entries


def _unsaid(origin: Origin) -> Entry:
    return Entry(origin.layer, origin.value, origin.place, origin.source)


def _said(statement: Statement) -> Entry:
    return Entry(
        statement.layer,
        statement.value,
        statement.place,
        statement.source,
        extended=statement.extended,
        removed=statement.removed,
        replaced=statement.replaced,
    )


def _offered_by(origin: Origin, path: ValuePath, spec: Spec) -> str | None:
    """Return the distribution, with its version, that a default or a preset comes from."""
    if origin.layer == "preset":
        return _preset_offered_by(path, spec)
    if origin.source == "specforge":
        return f"specforge {__version__}"
    registered = (part.registered for part in spec.parts.values() if part.registered.identity == origin.source)
    return next((f"{found.distribution} {found.distribution_version}" for found in registered), None)


def _preset_offered_by(path: ValuePath, spec: Spec) -> str | None:
    table, part = component_at(path, spec)
    if part is None:
        return None
    asked = value_at(spec, (*table, "use"))
    presets = load_registry().presets(part.registered.component.kind)
    found = [one for one in presets if asked in {one.preset.name, one.qualified} and one.preset.name == part.preset]
    return f"{found[0].distribution} {found[0].distribution_version}" if found else None


def _files(path: ValuePath, inputs: Inputs, steps: tuple[Step, ...]) -> Iterator[ReadFile]:
    """Yield the files of a corpus whose path is asked for, or those that tell what is in model folders."""
    corpora: Mapping[ValuePath, Mapping[str, InputFile]] = {
        **{("data", "train", number): files for number, files in enumerate(inputs.train)},
        ("data", "valid"): inputs.valid or {},
        ("data", "prompts"): inputs.prompts or {},
        **{("data", "test", name): files for name, files in inputs.tests.items()},
    }
    found = list(corpora.get(path[:-1], {}).values()) if path[-1] == "path" else []
    if path in {ENSEMBLE, LANGUAGE_MODEL, RERANK, VOCABULARY}:
        found = [file for role, file in inputs.folders.items() if role.startswith(str(path[1]))]
    for file in found:
        yield ReadFile(file, tuple(step.id for step in steps if file in step.inputs))
