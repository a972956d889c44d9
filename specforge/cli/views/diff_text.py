"""A difference for people: fields and steps, the two models, the scores, the validations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from specforge.cli.diff_report import Report
from specforge.cli.views.diff_figures import model_rows, score_rows, validation_rows
from specforge.cli.views.output import columns
from specforge.foundation.quantities import counted
from specforge.foundation.terminal import printable
from specforge.language.spec import Origin
from specforge.planning.comparison.difference import FieldChange, StepChange, Value
from specforge.planning.plan import State
from specforge.planning.steps import dotted

_LONGEST_VALUE: Final = 40


def text(report: Report) -> Iterator[str]:
    """Yield the lines."""
    yield from _fields(report)
    if report.difference.same_plan:
        yield "same plan"
        return
    yield from columns(_step_row(step, report) for step in report.difference.steps)
    names, outcomes = _names(report), report.outcomes
    if outcomes.training is not None:
        yield ""
        causes = [(dotted(field.path), *_values(field, report)) for field in outcomes.training.loading.causes]
        yield from columns(model_rows(outcomes.training, names, causes))
    if outcomes.scores:
        yield ""
        yield from columns(score_rows(outcomes.scores, names))
    if outcomes.curves is not None:
        yield ""
        yield from columns(validation_rows(outcomes.curves, names))
        yield from (f"  {remark}" for remark in outcomes.remarks)


def _names(report: Report) -> tuple[str, str]:
    a, b = report.labels
    return printable(a), printable(b)


def _fields(report: Report) -> Iterator[str]:
    fields = report.difference.fields
    if fields:
        rows = [("  field", *_names(report), "re-keys")]
        rows += [(f"~ {dotted(field.path)}", *_values(field, report), _effect(field)) for field in fields]
        yield from columns(rows, indent="")
    aside = [
        f"the sweep of {name} is left aside" for name, swept in zip(_names(report), report.swept, strict=True) if swept
    ]
    if fields or aside:
        yield f"= {'; '.join([counted(report.same_fields, 'other field'), *aside])}"
        yield ""


def _values(field: FieldChange, report: Report) -> tuple[str, str]:
    a, b = report.paths
    return _shown(field.before, a), _shown(field.after, b)


def _shown(value: Value | None, spec: Path) -> str:
    if value is None:
        return "-"
    shown = shown_value(value.value)
    return shown if value.origin is None else f"{shown} {where(value.origin, spec)}"


def shown_value(value: JsonValue) -> str:
    """Return a value in a few characters."""
    return printable("unset" if value is None else json.dumps(value, ensure_ascii=False), longest=_LONGEST_VALUE)


def where(origin: Origin, spec: Path) -> str:
    """Return where a value was set: `:31:9` in the spec itself, else the file, `--set`, or who has the default."""
    if origin.layer == "set":
        return "--set"
    if origin.place is None:
        return f"({printable(origin.source)})" if origin.layer == "preset" else "(default)"
    position = f":{origin.place.line}:{origin.place.column}"
    return position if origin.place.path == str(spec) else f"{printable(origin.place.path)}{position}"


def _effect(field: FieldChange) -> str:
    if field.effect == "nothing":
        match field.path[0]:
            case "run":
                return "nothing (run only)"
            case "name":
                return "nothing (label)"
            case "data":
                return "nothing (same content)"
            case _:
                return "nothing (changes no result)"
    steps = " → ".join(by_kind(field.rekeys))
    return f"{steps} (training goes on)" if field.effect == "continues" else steps


def by_kind(steps: Sequence[str]) -> Iterator[str]:
    """Yield steps in a few words: the tests of a kind together."""
    for kind, group in groupby(steps, lambda step: step.partition(".")[0]):
        members = list(group)
        yield members[0] if len(members) == 1 else f"{kind}.*"


def _step_row(step: StepChange, report: Report) -> tuple[str, str, str, str]:
    before, after = ("-" if key is None else key[:8] for key in (step.before, step.after))
    return step.id, before, after, _fate(step, report)


def _fate(step: StepChange, report: Report) -> str:
    if step.shared:
        return "shared"
    if step.after is None:
        return "is not there"
    state = report.states[step.id]
    why = ", ".join([dotted(path) for path in step.fields] or [f"after {need}" for need in step.follows])
    if state is State.REUSE:
        return f"{'is new' if step.before is None else 'differs'}, its result is there"
    word = "goes on" if state is State.RESUME else "runs"
    return f"{word}: {why}" if why else word
