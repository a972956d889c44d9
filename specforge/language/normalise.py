"""From what people type to the one form that is checked.

`model = "transformer"` becomes `{use}`, a corpus `{path}`, one corpus a list of one, one test a table of one, a hold_out
number `{valid}`, a folder of a vocabulary `{path}`, metrics and trackers a list of `{use}`, the word "stop" for `train.non_finite` a table of nothing. Each rewritten path remembers the typed one, so that diagnostics point to that.
What has none of the expected shapes is left as it is: the check says what was expected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from specforge.language.component_places import COMPONENT_LISTS, COMPONENT_TABLES
from specforge.language.schema.data import Corpus

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.spec import ValuePath

SINGLE_TEST: Final = "test"
"""Name of the test set where the spec gives only one, and of the one that is held out."""

_TRAIN: Final = ("data", "train")
_VALID: Final = ("data", "valid")
_TEST: Final = ("data", "test")
_PROMPTS: Final = ("data", "prompts")
_NON_FINITE: Final = ("train", "non_finite")
_VOCABULARY: Final = ("preprocess", "vocabulary")


@dataclass(slots=True)
class Normalised:
    """A document in the one form.

    Args:
        tree: its values.
        typed: rewritten path → path as typed; below a rewritten path, paths go on as they are.
        whole: tables that were typed as one word or number: they replace what they extend, instead of merging into it.
        single: lists that were typed as one table: they merge into a list of one.
        indexed: lists of which only some elements were typed, as a table of index → element (`metrics.0.tokenize`).
        typed_keys: path → path of its key as typed, where that is not the one of its value: a swept field has one key
            and several values.
    """

    tree: dict[str, JsonValue]
    typed: dict[ValuePath, ValuePath] = field(default_factory=dict)
    whole: set[ValuePath] = field(default_factory=set)
    single: set[ValuePath] = field(default_factory=set)
    indexed: set[ValuePath] = field(default_factory=set)
    typed_keys: dict[ValuePath, ValuePath] = field(default_factory=dict)

    def typed_path(self, path: ValuePath) -> ValuePath:
        """Return where the document itself holds what the normalised tree holds at `path`."""
        for length in range(len(path), 0, -1):
            typed = self.typed.get(path[:length])
            if typed is not None:
                return (*typed, *path[length:])
        return path


_Rewriter: TypeAlias = "Callable[[Normalised, JsonValue, ValuePath, ValuePath], JsonValue]"
"""From (document, value, its path, its path as typed) to the value in the one form."""


def normalise(data: Mapping[str, JsonValue]) -> Normalised:
    """Return a document in the one form; `extends` and `unset` pass unchanged."""
    document = Normalised(_copy(data))
    for path in COMPONENT_TABLES:
        _rewrite(document, path, _component)
    for path in COMPONENT_LISTS:
        _rewrite(document, path, _components)
    _rewrite(document, _TRAIN, _corpora)
    _rewrite(document, _VALID, _corpus)
    _rewrite(document, _PROMPTS, _corpus)
    _rewrite(document, _TEST, _tests)
    _rewrite(document, _NON_FINITE, _non_finite)
    _rewrite(document, _VOCABULARY, _folder)
    return document


def _copy(data: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the document with its tables copied, so that rewriting leaves the source as it was parsed."""
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in data.items()}


def _rewrite(document: Normalised, path: ValuePath, rewriter: _Rewriter) -> None:
    table: JsonValue = document.tree
    for part in path[:-1]:
        table = table.get(str(part)) if isinstance(table, dict) else None
    name = str(path[-1])
    if isinstance(table, dict) and name in table:
        table[name] = rewriter(document, table[name], path, path)


def _component(document: Normalised, value: JsonValue, path: ValuePath, typed: ValuePath) -> JsonValue:
    if not isinstance(value, str):
        return value
    document.typed[*path, "use"] = typed
    return {"use": value}


def _components(document: Normalised, value: JsonValue, path: ValuePath, typed: ValuePath) -> JsonValue:
    if isinstance(value, list):
        return [_component(document, item, (*path, index), (*typed, index)) for index, item in enumerate(value)]
    if not isinstance(value, str | dict):
        return value
    if isinstance(value, dict) and _is_indexed(value):
        return _elements(document, value, path, typed, _component)
    document.single.add(path)
    document.typed[*path, 0] = typed
    return [_component(document, value, (*path, 0), typed)]


def _corpora(document: Normalised, value: JsonValue, path: ValuePath, typed: ValuePath) -> JsonValue:
    if isinstance(value, list):
        return [_corpus(document, item, (*path, index), (*typed, index)) for index, item in enumerate(value)]
    if not isinstance(value, str | dict):
        return value
    if isinstance(value, dict) and _is_indexed(value):
        return _elements(document, value, path, typed, _corpus)
    if isinstance(value, dict):
        document.single.add(path)
    document.typed[*path, 0] = typed
    return [_corpus(document, value, (*path, 0), typed)]


def _is_indexed(value: Mapping[str, JsonValue]) -> bool:
    """Return whether a table names elements of a list; no component and no corpus has a number for a field."""
    return bool(value) and all(key.isascii() and key.isdecimal() for key in value)


def _elements(
    document: Normalised, value: Mapping[str, JsonValue], path: ValuePath, typed: ValuePath, rewriter: _Rewriter
) -> JsonValue:
    """Return a table of index → element with its elements in the one form; merging puts them into the list below."""
    document.indexed.add(path)
    elements: dict[str, JsonValue] = {}
    for key, item in value.items():
        document.typed[*path, int(key)] = (*typed, key)
        elements[key] = rewriter(document, item, (*path, int(key)), (*typed, key))
    return elements


def _corpus(document: Normalised, value: JsonValue, path: ValuePath, typed: ValuePath) -> JsonValue:
    if isinstance(value, str):
        document.typed[*path, "path"] = typed
        document.whole.add(path)
        return {"path": value}
    if not isinstance(value, dict):
        return value
    share = value.get("hold_out")
    if isinstance(share, bool) or not isinstance(share, int | float):
        return value
    document.typed[*path, "hold_out", "valid"] = (*typed, "hold_out")
    document.whole.add((*path, "hold_out"))
    return {**value, "hold_out": {"valid": share}}


def _tests(document: Normalised, value: JsonValue, path: ValuePath, typed: ValuePath) -> JsonValue:
    if isinstance(value, str) or (isinstance(value, dict) and _is_one_corpus(value)):
        document.typed[*path, SINGLE_TEST] = typed
        return {SINGLE_TEST: _corpus(document, value, (*path, SINGLE_TEST), typed)}
    if isinstance(value, dict):
        return {name: _corpus(document, item, (*path, name), (*typed, name)) for name, item in value.items()}
    return value


def _non_finite(document: Normalised, value: JsonValue, path: ValuePath, typed: ValuePath) -> JsonValue:
    del typed
    if isinstance(value, str) and value == "stop":
        document.whole.add(path)
        return {}
    return value


def _folder(document: Normalised, value: JsonValue, path: ValuePath, typed: ValuePath) -> JsonValue:
    if not isinstance(value, str):
        return value
    document.typed[*path, "path"] = typed
    document.whole.add(path)
    return {"path": value}


def _is_one_corpus(table: Mapping[str, JsonValue]) -> bool:
    """Return whether a table describes a corpus instead of naming several.

    A test set may be called like a field of a corpus (`path`) if its own corpus is written as a table.
    """
    return any(name in Corpus.model_fields and not isinstance(value, dict) for name, value in table.items())
