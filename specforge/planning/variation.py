"""Variations: which values of two specs differ, and the first spec with one of them taken from the second.

Some values only change together: a component of another name brings its whole table, a corpus of another format its whole
entry, another number of training corpora or metrics the whole list.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from pydantic import JsonValue

from specforge.language.spec import CorpusFiles, Part, Spec, ValuePath
from specforge.planning.inputs import Inputs

METRICS: Final[ValuePath] = ("generate", "metrics")
_TRAIN_CORPORA: Final[ValuePath] = ("data", "train")
_VALID: Final[ValuePath] = ("data", "valid")
_ROOT: Final[ValuePath] = ("data", "root")
_NAME: Final[ValuePath] = ("name",)


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
    leaves = [path for path in {**before.origins, **after.origins} if value_at(before, path) != value_at(after, path)]
    # the root moves paths, which are compared resolved; two files with no name of their own have different ones
    silent = {_ROOT} if _is_named(before) or _is_named(after) else {_ROOT, _NAME}
    return tuple(dict.fromkeys(_unit(path, before, after) for path in leaves if path not in silent))


def _is_named(spec: Spec) -> bool:
    return spec.origins[_NAME][-1].layer != "default"


def _unit(path: ValuePath, before: Spec, after: Spec) -> ValuePath:
    if path[:2] == METRICS and _identities(before) != _identities(after):
        return METRICS
    table = _table(path, before, after)
    if table is not None:
        old, new = before.parts.get(table), after.parts.get(table)
        alike = old is not None and new is not None and old.registered.identity == new.registered.identity
        return path[: len(table) + 1] if alike else table
    return _data_unit(path, before, after) if path[0] == "data" else path[:2]


def _identities(spec: Spec) -> list[str]:
    return [part.registered.identity for path, part in sorted(spec.parts.items(), key=str) if path[:2] == METRICS]


def _table(path: ValuePath, before: Spec, after: Spec) -> ValuePath | None:
    """Return the component table that a value stands in."""
    prefixes = (path[:length] for length in range(len(path), 0, -1))
    return next((prefix for prefix in prefixes if prefix in before.parts or prefix in after.parts), None)


def _data_unit(path: ValuePath, before: Spec, after: Spec) -> ValuePath:
    if path[:2] == _TRAIN_CORPORA and len(before.train_corpora) != len(after.train_corpora):
        return _TRAIN_CORPORA
    corpus = path[: 2 if path[:2] == _VALID else 3]
    old, new = _corpus(before, corpus), _corpus(after, corpus)
    alike = old is not None and new is not None and old.format == new.format
    return path[: len(corpus) + 1] if alike else corpus


def _corpus(spec: Spec, path: ValuePath) -> CorpusFiles | None:
    match path:
        case ("data", "train", int(number)):
            return spec.train_corpora[number]
        case ("data", "valid"):
            return spec.valid_corpus
        case ("data", "test", str(name)):
            return spec.test_corpora.get(name)
        case _:
            return None


def vary(path: ValuePath, before: Variant, after: Variant) -> Variant:
    """Return the first spec with one value of the second.

    Args:
        path: one of `changes`.
        before: the first spec.
        after: the second.
    """
    old, new = before.spec, after.spec
    table = METRICS if path == METRICS else _table(path, old, new)
    if path[0] == "data":
        return _with_data(path, before, after)
    if table is not None:
        return Variant(replace(old, parts=_with_part(table, path, old, new)), before.inputs)
    match path:
        case ("name",):
            changed = replace(old, name=new.name)
        case ("seed",):
            changed = replace(old, seed=new.seed)
        case ("preprocess", str(field)):
            changed = replace(old, preprocess=_with_field(old.preprocess, new.preprocess, field))
        case ("train", str(field)):
            changed = replace(old, train=_with_field(old.train, new.train, field))
        case ("generate", str(field)):
            changed = replace(old, generate=_with_field(old.generate, new.generate, field))
        case _:
            changed = replace(old, run=new.run)
    return Variant(changed, before.inputs)


def _with_field(old: _Table, new: _Table, field: str) -> _Table:
    return old.model_copy(update={field: getattr(new, field)})


def _with_part(table: ValuePath, path: ValuePath, old: Spec, new: Spec) -> dict[ValuePath, Part]:
    if path != table:
        part, other = old.parts[table], new.parts[table]
        if path[len(table)] == "use":  # a preset's name, whose values differ in rows of their own
            return {**old.parts, table: replace(part, preset=other.preset)}
        return {**old.parts, table: replace(part, config=_with_field(part.config, other.config, str(path[len(table)])))}
    kept = {known: part for known, part in old.parts.items() if known[: len(table)] != table}
    return kept | {known: part for known, part in new.parts.items() if known[: len(table)] == table}


def _with_data(path: ValuePath, before: Variant, after: Variant) -> Variant:
    match path:
        case ("data", "train"):
            return _with_train(before, after, after.spec.train_corpora, after.inputs.train)
        case ("data", "train", int(number), *field):
            corpora, files = list(before.spec.train_corpora), list(before.inputs.train)
            corpora[number] = _with_corpus_field(corpora[number], after.spec.train_corpora[number], field)
            if field in ([], ["path"]):
                files[number] = after.inputs.train[number]
            return _with_train(before, after, tuple(corpora), tuple(files))
        case ("data", "valid", *field):
            valid = _with_corpus_field(before.spec.valid_corpus, after.spec.valid_corpus, field)
            files_of = after.inputs.valid if field in ([], ["path"]) else before.inputs.valid
            return Variant(
                replace(before.spec, valid_corpus=valid), replace(before.inputs, valid=None if valid is None else files_of)
            )
        case ("data", "test", str(name), *field):
            return _with_test(name, field, before, after)
    message = f"no such data: {path}"
    raise AssertionError(message)
