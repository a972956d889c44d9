"""Alterations: a spec with any other value at a place, to see what becomes of it on the way into the keys.

The values that stand in for those in force need not be legal ones: nothing is made from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from specforge.language.model_folders import ENSEMBLE, LANGUAGE_MODEL, RERANK, VOCABULARY
from specforge.language.registry import config_class, load_registry
from specforge.language.schema.section import Section
from specforge.language.schema.train import DEFAULT_VALID_SEARCH, TEXT_FREE_METRICS
from specforge.language.spec import REFERENCE, CorpusFiles, Part, Spec, ValuePath
from specforge.planning.comparison.variation import Variant
from specforge.planning.inputs import Inputs
from specforge.planning.plan import InputFile

_ModelT = TypeVar("_ModelT", bound=BaseModel)
_ItemT = TypeVar("_ItemT")

_OTHER: Final = "…"  # stands for any other text
_HUGE: Final = 2**53  # from here on, a float plus one may be the same float


def altered(path: ValuePath, variant: Variant) -> Iterator[Variant]:
    """Yield the variant with another value at a path.

    Args:
        path: of a leaf of the tree; of a table or a list, and then there is a variant for each leaf in it.
        variant: a spec and its data files.
    """
    spec = variant.spec
    leaves = [leaf for leaf in spec.origins if leaf[: len(path)] == path and leaf != path]
    table = next((path[:length] for length in range(len(path), 0, -1) if path[:length] in spec.parts), None)
    if leaves:
        for leaf in leaves:
            yield from altered(leaf, variant)
    elif table is not None:
        part = _other_part(spec.parts[table], path[len(table) :])
        yield replace(variant, spec=replace(spec, parts={**spec.parts, table: part}))
    elif path[:2] == ("data", "prompts"):
        yield _other_prompts(path[2:], variant)
    elif path[0] == "data":
        yield _other_data(path, variant)
    elif path in {ENSEMBLE, LANGUAGE_MODEL, RERANK, VOCABULARY}:
        yield replace(variant, inputs=replace(variant.inputs, folders=_other_folders(path, variant.inputs)))
    else:
        yield replace(variant, spec=_other_fixed(path, spec))


def _other_part(part: Part, location: ValuePath) -> Part:
    if location != ("use",):
        return replace(part, config=_other_model(part.config, location))
    component = part.registered.component
    other = replace(component, version=component.version + 1)
    return replace(part, registered=replace(part.registered, component=other))


def _other_fixed(path: ValuePath, spec: Spec) -> Spec:
    """Return a spec with another value in one of the fixed tables, or at the root."""
    match path:
        case ("train", "best_metric"):  # what is no metric could not be looked up
            best = next(name for name in TEXT_FREE_METRICS if name != spec.train.best_metric)
            return replace(spec, train=spec.train.model_copy(update={"best_metric": best}))
        case ("train", "valid_search"):  # a table that is not there yet
            return replace(spec, parts={**spec.parts, path: _default_search()})
        case ("preprocess" | "train" | "generate" | "run" as name, *location) if location:
            section: Section = getattr(spec, name)
            fields: dict[str, Any] = {name: _other_model(section, tuple(location))}
            return replace(spec, **fields)
        case ("seed",):
            return replace(spec, seed=spec.seed + 1)
        case ("name",):
            return replace(spec, name=spec.name + _OTHER)
        case _:
            return spec


def _default_search() -> Part:
    registered = load_registry().find("search", DEFAULT_VALID_SEARCH).registered
    return Part(registered, config_class(registered)())


def _other_data(path: ValuePath, variant: Variant) -> Variant:
    """Return a variant with another corpus, or with other text where a corpus is read from another place."""
    spec, inputs = variant.spec, variant.inputs
    match path:
        case (
            ("data", "valid", "hold_out" | "references", *_)
            | ("data", "test", _, "hold_out", *_)
            | ("data", "train", _, "references", *_)
        ):
            return variant  # only rows of training data are set aside, and only tests name references
        case ("data", "root"):
            everything = Inputs(
                tuple(map(_other_text, inputs.train)),
                None if inputs.valid is None else _other_text(inputs.valid),
                {name: _other_text(files) for name, files in inputs.tests.items()},
                None if inputs.prompts is None else _other_text(inputs.prompts),
                inputs.folders,
            )
            return Variant(spec, everything)
        case ("data", "train", int(number), *location):
            corpus, files = _other_corpus(spec.train_corpora[number], inputs.train[number], tuple(location))
            return Variant(
                replace(spec, train_corpora=_with_item(spec.train_corpora, number, corpus)),
                replace(inputs, train=_with_item(inputs.train, number, files)),
            )
        case ("data", "valid", *location):
            given = spec.valid_corpus is not None and inputs.valid is not None
            old, old_files = (spec.valid_corpus, inputs.valid) if given else (spec.train_corpora[0], inputs.train[0])
            assert old is not None
            assert old_files is not None
            corpus, files = _other_corpus(old, old_files, tuple(location))
            return Variant(replace(spec, valid_corpus=corpus), replace(inputs, valid=files))
        case ("data", "test", str(name), *location):
            corpus, files = _other_corpus(spec.test_corpora[name], inputs.tests[name], tuple(location))
            return Variant(
                replace(spec, test_corpora={**spec.test_corpora, name: corpus}),
                replace(inputs, tests={**inputs.tests, name: files}),
            )
        case _:  # a table of tests without a test
            return variant


def _other_folders(path: ValuePath, inputs: Inputs) -> dict[str, InputFile]:
    """Return the model folders with another one where a path names some."""
    role = str(path[1])
    return {**inputs.folders, role: InputFile(role, Path(), _OTHER, 0)}


def _other_prompts(location: ValuePath, variant: Variant) -> Variant:
    spec, inputs = variant.spec, variant.inputs
    if spec.prompt_corpus is None or inputs.prompts is None:
        return variant  # no step reads any
    corpus, files = _other_corpus(spec.prompt_corpus, inputs.prompts, location)
    return Variant(replace(spec, prompt_corpus=corpus), replace(inputs, prompts=files))


def _with_item(items: Sequence[_ItemT], number: int, item: _ItemT) -> tuple[_ItemT, ...]:
    return (*items[:number], item, *items[number + 1 :])


def _other_text(files: Mapping[str, InputFile]) -> dict[str, InputFile]:
    return {column: replace(file, digest=file.digest + _OTHER) for column, file in files.items()}


def _other_corpus(
    corpus: CorpusFiles, files: Mapping[str, InputFile], location: ValuePath
) -> tuple[CorpusFiles, Mapping[str, InputFile]]:
    match location:
        case () | ("path",):
            return corpus, _other_text(files)
        case ("format",):
            return replace(corpus, format="jsonl" if corpus.format == "text" else "text"), files
        case ("header",):
            return replace(corpus, header=not corpus.header), files
        case ("columns",):
            return replace(corpus, columns=(*corpus.columns, _OTHER)), files
        case ("weight",):
            return replace(corpus, weight=corpus.weight + 1), files
        case ("references", *_):
            another = InputFile(f"{REFERENCE}{len(corpus.references)}", Path(), _OTHER, 0)
            more = {_OTHER: another} if corpus.format == "text" else {}
            return replace(corpus, references=(*corpus.references, _OTHER)), {**files, **more}
        case _:
            share = str(location[-1]) if len(location) > 1 else "valid"
            return replace(corpus, hold_out={**(corpus.hold_out or {}), share: _OTHER}), files


def _other_model(model: _ModelT, location: ValuePath) -> _ModelT:
    """Return a config or section with another value at a location, one that can be written into a key."""
    name = str(location[0])
    value = getattr(model, name)
    for other in (_other_value(value, location[1:]), _OTHER, None):
        changed = model.model_copy(update={name: other})
        try:
            if changed.model_dump(mode="json") != model.model_dump(mode="json"):
                return changed
        except PydanticSerializationError:  # a serializer of the field's own type
            continue
    return model


def _other_value(value: Any, location: ValuePath) -> object:  # the values of configs have no common type
    """Return a value of the same type that is not the same, as far as there is one."""
    match value:
        case BaseModel():
            return _other_model(value, location) if location else None
        case dict() if location:
            return {**value, location[0]: _other_value(value[location[0]], location[1:])}
        case list() | tuple() if location:
            number = int(location[0])
            return type(value)(_with_item(list(value), number, _other_value(value[number], location[1:])))
        case _:
            return _other_whole(value)


def _other_whole(value: Any) -> object:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1 if abs(value) < _HUGE else -value
        case str():
            return value + _OTHER
        case list() | tuple():
            return type(value)([*value, *(value[-1:] or [_OTHER])])
        case set() | frozenset():
            return value | {_OTHER}
        case dict():
            return {**value, _OTHER: _OTHER}
        case _:
            return _OTHER
