"""The explanation of a value or a table, as lines for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from specforge.cli.views.fields import FieldFacts, fields_of
from specforge.cli.views.output import columns
from specforge.foundation.terminal import printable
from specforge.language.fields import model_at
from specforge.language.text.toml_text import toml_value
from specforge.planning.explanation.value import Entry, FieldExplanation, TableExplanation
from specforge.planning.lock.contents import is_data_path
from specforge.planning.steps import dotted

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.foundation.errors import Place
    from specforge.language.spec import Part, Spec, Swept
    from specforge.planning.explanation.reach import Reach

_LONGEST_VALUE: Final = 60
_LONGEST_PATH: Final = 200
_DIGITS: Final = 8  # of a digest: enough to tell two apart by eye


def value_lines(explanation: FieldExplanation | TableExplanation, spec: Spec) -> Iterator[str]:
    """Yield the explanation for people."""
    if isinstance(explanation, TableExplanation):
        yield from _table_lines(explanation, spec)
    else:
        yield from _field_lines(explanation, spec)


def shown(value: JsonValue) -> str:
    """Return a value as a spec writes it, on one line, clipped where it is long."""
    if value is None:
        return "unset"
    try:
        text = toml_value(value)
    except ValueError:  # an array with a null in it, which only a plugin's default can hold
        text = json.dumps(value, ensure_ascii=False)
    return printable(text, longest=_LONGEST_VALUE)


def file_text(path: str) -> str:
    """Return the path of a file as one would type it here: relative where it lies below the working directory."""
    here = Path.cwd()
    near = Path(path).relative_to(here) if Path(path).is_relative_to(here) else path
    return printable(str(near), longest=_LONGEST_PATH)


def steps_text(identifiers: Sequence[str], spec: Spec) -> str:
    """Return ids of steps in a few words: all tests of a kind together, where there are several."""
    tests = len(spec.test_corpora) + spec.held_out_test
    words: list[str] = []
    for kind, group in groupby(identifiers, lambda identifier: identifier.partition(".")[0]):
        members = list(group)
        words += [f"{kind}.*"] if len(members) == tests > 1 else [printable(member) for member in members]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def _field_lines(explanation: FieldExplanation, spec: Spec) -> Iterator[str]:
    facts = _facts(explanation)
    meaning = "" if facts is None or not facts.description else f"   {printable(facts.description)}"
    yield f"{printable(dotted(explanation.path))} = {shown(explanation.value)}{meaning}"
    yield ""
    rows = [(shown(entry.value), where(entry), _standing(entry)) for entry in explanation.history]
    rows += [
        (_swept_name(one, explanation), printable(str(one.place)), _swept_values(one)) for one in explanation.swept
    ]
    yield from columns(rows)
    named = {entry.removed for entry in explanation.history}
    for place in explanation.removals:
        if place not in named:
            yield f"  `unset` names it at {printable(str(place))}"
    if explanation.files:
        yield ""
        yield from columns(
            (
                printable(read.file.role),
                file_text(str(read.file.path)),
                f"{read.file.lines:,} lines",
                read.file.digest[:_DIGITS],
                f"read by {steps_text(read.steps, spec)}" if read.steps else "read by no step",
            )
            for read in explanation.files
        )
    yield ""
    for line in _remarks(explanation, facts, spec):
        yield f"  {line}"


def _swept_name(swept: Swept, explanation: FieldExplanation | TableExplanation) -> str:
    return "swept" if swept.path == explanation.path else f"{printable(dotted(swept.path))} is swept"


def _swept_values(swept: Swept) -> str:
    return ", ".join(map(shown, swept.values))


def _facts(explanation: FieldExplanation) -> FieldFacts | None:
    """Return type, range and description of a field as its model declares them."""
    declared = explanation.declared
    owner = model_at(declared.model, declared.location[:-1])
    listed = () if owner is None or not declared.location else fields_of(owner)
    return next((facts for facts in listed if facts.name == declared.location[-1]), None)


def where(entry: Entry) -> str:
    """Return where a value was said: file with line and column, `--set` as typed, or who offers it."""
    if entry.layer == "set":
        return f"--set {printable(entry.source)}"
    if entry.place is not None:
        place = printable(str(entry.place))
        return place if entry.extended is None else f"{place} (extended at {printable(str(entry.extended))})"
    by = "" if entry.offered_by is None or entry.source == "specforge" else f" ({printable(entry.offered_by)})"
    if entry.layer == "preset":
        return f"{printable(entry.source)}{by}"
    if entry.offered_by is None:
        return f"default: {printable(entry.source)}"
    return f"default of {printable(entry.offered_by if entry.source == 'specforge' else entry.source)}{by}"


def _standing(entry: Entry) -> str:
    if entry.in_force:
        return "in force"
    if entry.removed is not None:
        return f"removed by `unset` at {printable(str(entry.removed))}"
    if entry.replaced is not None:
        return f"gone with what {printable(str(entry.replaced))} replaces"
    return "overruled"


def _remarks(explanation: FieldExplanation, facts: FieldFacts | None, spec: Spec) -> Iterator[str]:
    if facts is not None:
        yield ", ".join(word for word in (facts.type, facts.range) if word)
    yield f"{_in_keys(explanation.reach, spec)}{_why_in_no_key(explanation)}"
    if explanation.reach.own and is_data_path(explanation.path):
        yield "by what the files hold: equal files elsewhere have the same keys"
    if explanation.reach.keys:
        yield from _growth(explanation, spec)
        if explanation.declared.marker.has_neutral:
            neutral = shown(explanation.declared.marker.neutral)
            yield f"left out of keys while it is {neutral}, so that results from before it existed stay good"
    if explanation.declared.component is not None:
        yield f"read by {component_text(explanation.declared.component)}"


def _in_keys(reach: Reach, spec: Spec) -> str:
    if not reach.own:
        return "in no key"
    own = f"in the {'keys' if len(reach.own) > 1 else 'key'} of {steps_text(reach.own, spec)}"
    if not reach.below:
        return own
    return f"{own}; {steps_text(reach.below, spec)} follow{'s' if len(reach.below) == 1 else ''}"


def _why_in_no_key(explanation: FieldExplanation) -> str:
    if explanation.reach.own:
        return ""
    if not explanation.declared.marker.identity:
        return ": it changes no result"
    return ": no step of this spec reads it"


def _growth(explanation: FieldExplanation, spec: Spec) -> Iterator[str]:
    if not explanation.declared.marker.continues:
        return
    if explanation.reach.goes_on:
        yield "may grow: training goes on where it stopped"
    else:
        scheduler = spec.parts["lr_scheduler",].registered.identity
        yield f"another value starts training over: the rates of {printable(scheduler)} depend on the budget"


def component_text(part: Part) -> str:
    """Return a component with its version, and the preset that it was asked for by."""
    preset = "" if part.preset is None else f", preset {printable(part.preset)}"
    return f"{printable(part.registered.identity)}{preset}"


def _table_lines(explanation: TableExplanation, spec: Spec) -> Iterator[str]:
    name = printable(dotted(explanation.path))
    yield name if explanation.component is None else f"{name} is {component_text(explanation.component)}"
    yield ""
    size = len(explanation.path)
    if not explanation.rows:
        yield "  nothing stands in it"
    yield from columns(
        (printable(dotted(path[size:])), shown(value), where(entry)) for path, value, entry in explanation.rows
    )
    yield from columns(
        (_swept_name(one, explanation), printable(str(one.place)), _swept_values(one)) for one in explanation.swept
    )
    for place in explanation.removals:
        yield f"  `unset` names it at {printable(str(place))}"
    yield ""
    yield f"  {_in_keys(explanation.reach, spec)}"


def value_json(explanation: FieldExplanation | TableExplanation) -> dict[str, JsonValue]:
    """Return the explanation as JSON; docs/reference/json.md describes it."""
    reach = explanation.reach
    part = explanation.declared.component if isinstance(explanation, FieldExplanation) else explanation.component
    document: dict[str, JsonValue] = {
        "path": list(explanation.path),
        "component": None if part is None else part.registered.identity,
        "preset": None if part is None else part.preset,
        "unset": [_place(place) for place in explanation.removals],
        "swept": [_swept(swept) for swept in explanation.swept],
        "keys": list(reach.own),
        "follow": list(reach.below),
    }
    if isinstance(explanation, TableExplanation):
        rows: JsonValue = [
            {"path": list(path), "value": value, "origin": _entry(entry)} for path, value, entry in explanation.rows
        ]
        return {**document, "fields": rows}
    facts = _facts(explanation)
    marker = explanation.declared.marker
    return {
        **document,
        "value": explanation.value,
        "description": None if facts is None else facts.description,
        "type": None if facts is None else facts.type,
        "range": None if facts is None else facts.range,
        "history": [_entry(entry) for entry in explanation.history],
        "identity": marker.identity,
        "continues": marker.continues,
        "goes_on": reach.goes_on,
        "neutral": {"value": marker.neutral} if marker.has_neutral else None,
        "files": [
            {
                "role": read.file.role,
                "path": str(read.file.path),
                "digest": read.file.digest,
                "lines": read.file.lines,
                "steps": list(read.steps),
            }
            for read in explanation.files
        ],
    }


def _entry(entry: Entry) -> JsonValue:
    return {
        "layer": entry.layer,
        "value": entry.value,
        "source": entry.source,
        "offered_by": entry.offered_by,
        "place": _place(entry.place),
        "in_force": entry.in_force,
        "extended": _place(entry.extended),
        "removed": _place(entry.removed),
        "replaced": _place(entry.replaced),
    }


def _swept(swept: Swept) -> JsonValue:
    return {"path": list(swept.path), "values": list(swept.values), "place": _place(swept.place)}


def _place(place: Place | None) -> JsonValue:
    return None if place is None else {"file": place.path, "line": place.line, "column": place.column}
