"""`[sweep]` taken apart: which fields it varies, which points that makes, and what is wrong with it as a whole.

What is wrong with a value at one point is found where the points are checked, `specforge.language.sweeps.points`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from specforge.foundation.canonical import canonical_json
from specforge.language.fields import field_at
from specforge.language.messages.diagnostics import Diagnostic, Label
from specforge.language.messages.problems import CheckedTable, Explainer
from specforge.language.schema.document import SpecDocument, SweepSection
from specforge.language.sweeps.draft import Choice, Choices, Field, PointDraft, SweepDraft
from specforge.language.sweeps.names import typed_name
from specforge.language.text.limits import MOST_KEY_PARTS
from specforge.language.text.toml_text import toml_value
from specforge.language.validation import validate
from specforge.plugin import Marker

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.merge import Merged
    from specforge.language.spec import ValuePath

SWEEP: Final = "sweep"

MOST_POINTS: Final = 1_000
"""Points of one sweep."""

MOST_FIELDS: Final = 50
"""Fields that one sweep varies."""

_CASE_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,50}")
_LONGEST_SHOWN: Final = 40  # characters of a value in a help line
_LONGEST_INDEX: Final = 4  # digits; a file has at most 10,000 array elements

_OF_ONE_RUN: Final = "it changes no result, so all points would be one"
_UNFIT: Final[Mapping[str, tuple[str, str | None]]] = MappingProxyType(
    {
        "specforge": ("this is the language of the whole file", None),
        "extends": ("this is read before there are points", None),
        "unset": ("this is read before there are points", None),
        "sweep": ("a sweep of sweeps", None),
        "allow": (_OF_ONE_RUN, None),
        "name": (_OF_ONE_RUN, "points are named after their values; each of [[sweep.case]] may have a `name`"),
        "run": (_OF_ONE_RUN, None),
    }
)
"""Root keys that cannot be swept → why, and what to do instead."""


_Typed: TypeAlias = "tuple[tuple[str, ...], tuple[ValuePath, ...], JsonValue]"
"""A path, where each of its keys stands, and the value."""


def read_sweep(whole: Merged, base: Merged) -> SweepDraft:
    """Take the sweep of a spec apart.

    Args:
        whole: all layers, `sweep` among their keys.
        base: the same without it.
    """
    return _Reader(whole, base).read()


class _Reader:
    def __init__(self, whole: Merged, base: Merged) -> None:
        self._whole = whole
        self._base = base
        self._draft = SweepDraft()

    def read(self) -> SweepDraft:
        draft = self._draft
        table = self._whole.tree[SWEEP]
        draft.diagnostics += self._misshapen(table)
        draft.grid, draft.zip = (
            [axis for axis in self._axes(table, name) if self._is_fit(axis[0].field)] for name in ("grid", "zip")
        )
        cases = list(self._cases(table))
        draft.cases = len(cases)
        draft.fields = _fields([*draft.grid, *draft.zip, *(choices for choices, _ in cases)])
        if len(draft.fields) > MOST_FIELDS:
            self._refuse("fields", len(draft.fields), MOST_FIELDS)
            draft.fields = []  # nobody needs to look at so many
            return draft
        swept = [axis[0].field for axis in (*draft.grid, *draft.zip)]
        for fields in (swept, *([choice.field for choice in choices] for choices, _ in cases)):
            draft.diagnostics += _overlaps(fields)
        draft.diagnostics += self._unequal(draft.zip)
        rows = list(zip(*draft.zip, strict=False)) if draft.zip else [()]
        count = math.prod(map(len, draft.grid)) * len(rows) if swept else 0
        if count + len(cases) > MOST_POINTS:
            self._refuse("points", count + len(cases), MOST_POINTS)
            return draft
        if not (isinstance(table, dict) and any(table.values())) and not draft.diagnostics:
            label, example = self._label((SWEEP,), "no field is named"), "grid.optimizer.lr = [5e-4, 1e-3]"
            draft.diagnostics.append(_empty(label, "the sweep varies nothing", example))
        crossed = [(*one, *row) for one in product(*draft.grid) for row in rows] if count else []
        drafts = [*((choices, None) for choices in crossed), *cases]
        draft.points = [PointDraft(number, choices, label) for number, (choices, label) in enumerate(drafts, 1)]
        return draft

    def _refuse(self, what: str, count: int, limit: int) -> None:
        label = self._label((SWEEP,), f"these are {count:,} {what}; the limit is {limit:,}")
        self._draft.diagnostics.append(Diagnostic("SF105", f"a sweep of too many {what}", (label,)))

    def _misshapen(self, table: JsonValue) -> Iterator[Diagnostic]:
        """Yield what the model of the table finds: unknown keys, wrong types."""
        if not isinstance(table, dict):
            words = "expected a table with `grid`, `zip` or `case`"
            yield Diagnostic("SF103", "`sweep` has a wrong type", (self._label((SWEEP,), words),))
            return
        errors = validate(SweepSection, table, self._whole.faulty((SWEEP,))).errors
        checked = CheckedTable((SWEEP,), SweepSection, table)
        yield from Explainer(self._whole, [checked], complete=True).explain(checked, errors)

    def _axes(self, table: JsonValue, name: str) -> Iterator[Choices]:
        """Yield the values of each field of `grid` or `zip`; what is no list is wrong."""
        axes = table.get(name) if isinstance(table, dict) else None
        for path, keys, value in self._paths(axes, (SWEEP, name)):
            found = self._field(path, keys)
            if isinstance(value, list) and value:
                choices = (Choice(found, item, (*found.key, index)) for index, item in enumerate(value))
                axis = tuple(choice for choice in choices if not found.layer.is_faulty(choice.typed))
                if axis:
                    yield tuple(self._distinct(axis)) if name == "grid" else axis
            elif value in ([], {}):
                message = f"`{typed_name(path)}` is swept over no values"
                self._draft.diagnostics.append(_empty(found.layer.label(found.key, "this is empty"), message))
            elif not found.layer.is_faulty(found.key):
                label = found.layer.label(found.key, "this is one value")
                help_text = f"write `{typed_name(path)} = [{_as_typed(label, value)}]`"
                message = f"`{name}` needs a list of values for `{typed_name(path)}`"
                self._draft.diagnostics.append(Diagnostic("SF120", message, (label,), help=help_text))

    def _distinct(self, axis: Choices) -> Iterator[Choice]:
        """Yield the values of a list once each, and say which of them stand there twice."""
        first: dict[bytes, Choice] = {}
        for choice in axis:
            earlier = first.setdefault(canonical_json(choice.value), choice)
            if earlier is choice:
                yield choice
            else:
                message = f"`{typed_name(choice.field.path)}` takes a value twice"
                labels = (choice.label("here"), earlier.label("and here", primary=False))
                self._draft.diagnostics.append(Diagnostic("SF126", message, labels))

    def _cases(self, table: JsonValue) -> Iterator[tuple[Choices, str | None]]:
        cases = table.get("case") if isinstance(table, dict) else None
        for index, case in enumerate(cases if isinstance(cases, list) else ()):
            if not isinstance(case, dict):
                continue  # its type was found wrong
            here: ValuePath = (SWEEP, "case", index)
            label = case.get("name")
            if not case:
                self._draft.diagnostics.append(
                    _empty(self._label(here, "no field is named"), "this case sets nothing", "optimizer.lr = 1e-3")
                )
            elif "name" in case and not (isinstance(label, str) and _CASE_NAME.fullmatch(label)):
                words = "expected up to 50 letters, digits, `.`, `_` and `-`"
                message = "`name` of a case becomes part of the name of a run"
                self._draft.diagnostics.append(Diagnostic("SF103", message, (self._label((*here, "name"), words),)))
            values = {key: value for key, value in case.items() if key != "name"}
            fields = [(self._field(path, keys), value) for path, keys, value in self._paths(values, here)]
            choices = tuple(Choice(found, value, found.key) for found, value in fields if self._is_fit(found))
            yield choices, label if isinstance(label, str) else None

    def _paths(self, table: JsonValue, here: ValuePath) -> Iterator[_Typed]:
        """Yield what a table says of paths; a key in quotes may have more parts than a key without."""
        for path, keys, value in _walk(table, here):
            if len(path) > MOST_KEY_PARTS:
                words = f"this has {len(path):,} parts; the limit is {MOST_KEY_PARTS}"
                label = self._label(keys[-1], words, key=True)
                self._draft.diagnostics.append(Diagnostic("SF105", "a path of too many parts", (label,)))
            else:
                yield path, keys, value

    def _field(self, parts: Sequence[str], keys: tuple[ValuePath, ...]) -> Field:
        layer = self._whole.layer_of(keys[-1])
        assert layer is not None, "somebody typed it"
        return Field(_with_indices(parts, self._base.tree), layer, keys)

    def _is_fit(self, found: Field) -> bool:
        """Return whether a field may be swept, and nothing else sets it; say so if not."""
        unfit = _unfit(found.path)
        if unfit is not None:
            words, help_text = unfit
            message = f"`{typed_name(found.path)}` cannot be swept"
            self._draft.diagnostics.append(Diagnostic("SF125", message, (found.label(words),), help=help_text))
            return False
        for layer in self._whole.layers:
            if layer.source.layer == "set" and _typed_alone(layer.source.data) in _spellings(found.path):
                labels = (
                    layer.label(found.path, "this would hold at every point"),
                    found.label("swept here", primary=False),
                )
                self._draft.diagnostics.append(
                    Diagnostic(
                        "SF124",
                        f"`{typed_name(found.path)}` is swept, and set by `--set`",
                        labels,
                        help="leave one of them out; `--set 'unset=[\"sweep\"]'` leaves out the sweep",
                    )
                )
        return True

    def _unequal(self, together: Sequence[Choices]) -> Iterator[Diagnostic]:
        """Yield that the lists of `zip` do not advance together."""
        first, others = together[:1], [axis for axis in together if len(axis) != len(together[0])]
        if not others:
            return
        labels = tuple(
            axis[0].field.layer.label(axis[0].field.key, _values(len(axis)), primary=nth == 0)
            for nth, axis in enumerate([*others, *first])
        )
        yield Diagnostic(
            "SF122", "the lists of `zip` are not equally long", labels, help="`grid` makes every combination"
        )

    def _label(self, path: ValuePath, text: str, *, key: bool = False) -> Label:
        label = self._whole.label(path, text, key=key)
        assert label is not None, "somebody typed it"
        return label


def _walk(table: JsonValue, here: ValuePath) -> Iterator[_Typed]:
    """Yield path, place of each key and value of the fields in a table; its tables and dotted keys are parts of paths."""
    for key, value in table.items() if isinstance(table, dict) else ():
        parts = tuple(key.split("."))
        place = (*here, key)
        places = (place,) * len(parts)
        if isinstance(value, dict) and value:
            for path, keys, inner in _walk(value, place):
                yield (*parts, *path), (*places, *keys), inner
        else:
            yield parts, places, value


def _with_indices(parts: Sequence[str], tree: JsonValue) -> ValuePath:
    """Return a path as typed with numbers where the spec has a list."""
    path: ValuePath = ()
    for part in parts:
        is_index = isinstance(tree, list) and part.isascii() and part.isdecimal() and len(part) <= _LONGEST_INDEX
        path = (*path, int(part) if is_index else part)
        tree = _child(tree, path[-1])
    return path


def _child(tree: JsonValue, part: str | int) -> JsonValue:
    if isinstance(tree, list) and isinstance(part, int):
        return tree[part] if part < len(tree) else None
    return tree.get(str(part)) if isinstance(tree, dict) else None


def _typed_alone(data: Mapping[str, JsonValue]) -> ValuePath:
    """Return the path that a `--set` argument assigns to."""
    path: ValuePath = ()
    value: JsonValue = dict(data)
    while isinstance(value, dict) and len(value) == 1:
        ((key, value),) = value.items()
        path = (*path, key)
    return path


def _unfit(path: ValuePath) -> tuple[str, str | None] | None:
    """Return why a field cannot be swept and what to do instead, or None where it can."""
    if path[0] in _UNFIT:
        return _UNFIT[str(path[0])]
    field = field_at(SpecDocument, path)
    if field is not None and any(isinstance(item, Marker) and not item.identity for item in field.metadata):
        return _OF_ONE_RUN, None
    return None


def _spellings(path: ValuePath) -> set[ValuePath]:
    """Return how `--set` may spell a path: a component's name is the table itself, too."""
    typed = tuple(map(str, path))
    return {typed, (*typed, "use"), *([typed[:-1]] if typed[-1] == "use" else [])}


def _overlaps(fields: Sequence[Field]) -> Iterator[Diagnostic]:
    """Yield the pairs of fields of which one is the other or lies inside it."""
    for first, second in combinations(fields, 2):
        outer, inner = sorted((first.path, second.path), key=len)
        if inner[: len(outer)] != outer:
            continue
        if inner == outer:
            message, help_text = f"`{typed_name(inner)}` is swept twice", None
        else:
            message = f"`{typed_name(inner)}` is swept, and so is the table that it stands in"
            help_text = f"to vary which component it is, write `{typed_name(outer)}.use`"
        labels = (second.label("here"), first.label("and here", primary=False))
        yield Diagnostic("SF123", message, labels, help=help_text)


def _fields(axes: Sequence[Choices]) -> list[tuple[Field, list[JsonValue]]]:
    """Return each field once, with the values that it takes."""
    fields: dict[ValuePath, tuple[Field, dict[bytes, JsonValue]]] = {}
    for choice in (choice for axis in axes for choice in axis):
        _, values = fields.setdefault(choice.field.path, (choice.field, {}))
        values.setdefault(canonical_json(choice.value), choice.value)
    return [(found, list(values.values())) for found, values in fields.values()]


def _values(count: int) -> str:
    return f"{count} value{'s' * (count != 1)}"


def _as_typed(label: Label, value: JsonValue) -> str:
    """Return the text of a value as it was typed, or another spelling where that is no single line."""
    typed = "" if label.span is None else label.source.text[label.span.start : label.span.end]
    return typed if typed.isprintable() and 0 < len(typed) <= _LONGEST_SHOWN else toml_value(value)


def _empty(label: Label, message: str, example: str = "optimizer.lr = [5e-4, 1e-3]") -> Diagnostic:
    return Diagnostic("SF121", message, (label,), help=f"write lines like `{example}`")
