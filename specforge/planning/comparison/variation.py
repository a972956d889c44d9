"""Variations: which values of two specs differ, and the first spec with one of them taken from the second.

Some values only change together: a component of another name brings its whole table, a corpus of another format its whole
entry, another number of training corpora, metrics or trackers the whole list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from pydantic import BaseModel, JsonValue

from specforge.language.component_places import COMPONENT_LISTS
from specforge.language.spec import CorpusFiles, Part, Spec, ValuePath
from specforge.planning.inputs import Inputs, with_roles_of
from specforge.planning.plan import InputFile

_TRAIN_CORPORA: Final[ValuePath] = ("data", "train")
_VALID: Final[ValuePath] = ("data", "valid")
_PROMPTS: Final[ValuePath] = ("data", "prompts")
_ROOT: Final[ValuePath] = ("data", "root")
_NAME: Final[ValuePath] = ("name",)

_TableT = TypeVar("_TableT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Variant:
    """A spec and its data files, which change together."""

    spec: Spec
    inputs: Inputs


def value_at(spec: Spec, path: ValuePath) -> JsonValue:
    """Return a value of the resolved tree; None for what it does not have, since TOML has no null."""
    value: JsonValue = dict(spec.tree)
    for name in path:
        if isinstance(value, dict):
            value = value.get(str(name))
        elif isinstance(value, list) and isinstance(name, int) and name < len(value):
            value = value[name]
        else:
            return None
    return value


def changes(before: Spec, after: Spec) -> tuple[ValuePath, ...]:
    """Return the paths of the smallest values that can be changed alone and differ, in the order of the tree."""
    leaves = [path for path in {**before.origins, **after.origins} if not _alike(path, before, after)]
    # the root moves paths, which are compared resolved; two files with no name of their own have different ones
    silent = {_ROOT} if _is_named(before) or _is_named(after) else {_ROOT, _NAME}
    units = dict.fromkeys(_unit(path, before, after) for path in leaves if path not in silent)
    tables = list({**before.tree, **after.tree})
    return tuple(sorted(units, key=lambda path: tables.index(str(path[0]))))


def unchanged(before: Spec, after: Spec) -> int:
    """Return how many values both specs have alike, those inside a larger value that differs not counted."""
    changed = changes(before, after)
    leaves = (path for path in before.origins if path in after.origins and _alike(path, before, after))
    return sum(not any(path[: len(unit)] == unit for unit in changed) for path in leaves)


def _alike(path: ValuePath, before: Spec, after: Spec) -> bool:
    """Return whether a leaf says the same in both: a component by who it is and a corpus by its files, however written."""
    if path[-1] == "use":
        old, new = before.parts.get(path[:-1]), after.parts.get(path[:-1])
        if old is not None and new is not None:
            return (old.registered.identity, old.preset) == (new.registered.identity, new.preset)
    if path[0] == "data" and path[-1] == "path":
        one, other = (_corpora(spec).get(path[:-1]) for spec in (before, after))
        if one is not None and other is not None:
            return one.files == other.files
    return value_at(before, path) == value_at(after, path)


def _is_named(spec: Spec) -> bool:
    return spec.origins[_NAME][-1].layer != "default"


def _unit(path: ValuePath, before: Spec, after: Spec) -> ValuePath:
    listed = next((known for known in COMPONENT_LISTS if path[: len(known)] == known), None)
    if listed is not None and _identities(listed, before) != _identities(listed, after):
        return listed
    table = _table(path, before, after)
    if table is not None:
        old, new = before.parts.get(table), after.parts.get(table)
        alike = old is not None and new is not None and old.registered.identity == new.registered.identity
        return path[: len(table) + 1] if alike else table
    return _data_unit(path, before, after) if path[0] == "data" else path[:2]


def _identities(listed: ValuePath, spec: Spec) -> list[str]:
    return [part.registered.identity for path, part in sorted(spec.parts.items(), key=str) if path[:-1] == listed]


def _table(path: ValuePath, before: Spec, after: Spec) -> ValuePath | None:
    """Return the component table that a value stands in."""
    prefixes = (path[:length] for length in range(len(path), 0, -1))
    return next((prefix for prefix in prefixes if prefix in before.parts or prefix in after.parts), None)


def _data_unit(path: ValuePath, before: Spec, after: Spec) -> ValuePath:
    if path[:2] == _TRAIN_CORPORA and len(before.train_corpora) != len(after.train_corpora):
        return _TRAIN_CORPORA
    corpus = _corpus_path(path)
    old, new = (_corpora(spec).get(corpus) for spec in (before, after))
    alike = old is not None and new is not None and old.format == new.format
    return path[: len(corpus) + 1] if alike else corpus


def _corpus_path(path: ValuePath) -> ValuePath:
    return path[: 2 if path[:2] in {_VALID, _PROMPTS} else 3]


def _corpora(spec: Spec) -> dict[ValuePath, CorpusFiles]:
    train = {(*_TRAIN_CORPORA, number): corpus for number, corpus in enumerate(spec.train_corpora)}
    valid = {} if spec.valid_corpus is None else {_VALID: spec.valid_corpus}
    prompts = {} if spec.prompt_corpus is None else {_PROMPTS: spec.prompt_corpus}
    return {
        **train,
        **valid,
        **prompts,
        **{("data", "test", name): corpus for name, corpus in spec.test_corpora.items()},
    }


def vary(path: ValuePath, before: Variant, after: Variant) -> Variant:
    """Return the first spec with one value of the second.

    Args:
        path: one of `changes`.
        before: the first spec.
        after: the second.
    """
    old, new = before.spec, after.spec
    table = path if path in COMPONENT_LISTS else _table(path, old, new)
    if path[0] == "data":
        return _with_data(path, before, after)
    if table is not None:
        spec = replace(old, parts=_with_part(table, path, old, new))
        return Variant(spec, with_roles_of(spec.task, before.inputs) if table == ("task",) else before.inputs)
    match path:
        case ("name",):
            changed = replace(old, name=new.name)
        case ("seed",):
            changed = replace(old, seed=new.seed)
        case ("preprocess" | "train" | "generate" as name, str(field)):
            sections: dict[str, Any] = {name: _with_field(getattr(old, name), getattr(new, name), field)}
            changed = replace(old, **sections)
        case ("run", _):
            changed = replace(old, run=new.run)
        case _:
            changed = old  # `allow` is about the file: no step reads it
    return Variant(changed, _with_folders(str(path[-1]), before.inputs, after.inputs))


def _with_folders(field: str, before: Inputs, after: Inputs) -> Inputs:
    """Return inputs with the model folders that a field names taken from others."""
    mine = {role: file for role, file in before.folders.items() if role.partition("/")[0] != field}
    theirs = {role: file for role, file in after.folders.items() if role.partition("/")[0] == field}
    return replace(before, folders=mine | theirs)


def _with_field(old: _TableT, new: _TableT, field: str) -> _TableT:
    return old.model_copy(update={field: getattr(new, field)})


def _with_part(table: ValuePath, path: ValuePath, old: Spec, new: Spec) -> dict[ValuePath, Part]:
    if path != table:
        part, other = old.parts[table], new.parts[table]
        if path[len(table)] == "use":  # a preset's name, whose values differ in rows of their own
            return {**old.parts, table: replace(part, preset=other.preset)}
        return {**old.parts, table: replace(part, config=_with_field(part.config, other.config, str(path[len(table)])))}
    kept = {known: part for known, part in old.parts.items() if known[: len(table)] != table}
    return kept | {known: part for known, part in new.parts.items() if known[: len(table)] == table}


@dataclass(frozen=True, slots=True)
class _Source:
    """A corpus and its files as inputs."""

    corpus: CorpusFiles
    files: Mapping[str, InputFile]

    def with_field(self, other: _Source, field: str) -> _Source:
        """Return the corpus with one field of another one."""
        if field == "path":
            return _Source(replace(self.corpus, files=other.corpus.files), other.files)
        changes: dict[str, Any] = {field: getattr(other.corpus, field)}
        return _Source(replace(self.corpus, **changes), self.files)


def _sources(variant: Variant) -> dict[ValuePath, _Source]:
    def files(path: ValuePath) -> Mapping[str, InputFile]:
        match path:
            case ("data", "train", int(number)):
                return variant.inputs.train[number]
            case ("data", "valid"):
                return variant.inputs.valid or {}
            case ("data", "prompts"):
                return variant.inputs.prompts or {}
            case _:
                return variant.inputs.tests[str(path[2])]

    return {path: _Source(corpus, files(path)) for path, corpus in _corpora(variant.spec).items()}


def _with_data(path: ValuePath, before: Variant, after: Variant) -> Variant:
    sources, others = _sources(before), _sources(after)
    corpus = path if path == _TRAIN_CORPORA else _corpus_path(path)
    if path != corpus:
        sources[corpus] = sources[corpus].with_field(others[corpus], str(path[len(corpus)]))
    else:
        sources = {known: source for known, source in sources.items() if known[: len(corpus)] != corpus}
        sources |= {known: source for known, source in others.items() if known[: len(corpus)] == corpus}
    return _rebuilt(before.spec, sources, before.inputs.folders)


def _rebuilt(spec: Spec, sources: Mapping[ValuePath, _Source], folders: Mapping[str, InputFile]) -> Variant:
    train = [source for path, source in sources.items() if path[:2] == _TRAIN_CORPORA]
    tests = {str(path[2]): source for path, source in sources.items() if path[1] == "test"}
    valid, prompts = sources.get(_VALID), sources.get(_PROMPTS)
    changed = replace(
        spec,
        train_corpora=tuple(source.corpus for source in train),
        valid_corpus=None if valid is None else valid.corpus,
        test_corpora={name: source.corpus for name, source in tests.items()},
        held_out_test=any((source.corpus.hold_out or {}).get("test") for source in train),
        prompt_corpus=None if prompts is None else prompts.corpus,
    )
    files = Inputs(
        tuple(source.files for source in train),
        None if valid is None else valid.files,
        {name: source.files for name, source in tests.items()},
        None if prompts is None else prompts.files,
        folders,
    )
    return Variant(changed, files)
