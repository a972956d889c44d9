"""`specforge diff`: two specs compared by meaning."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue

from specforge.cli.main import COMMANDS
from specforge.cli.output import columns, result
from specforge.cli.spec_arguments import add_assignments, add_store, load_experiment
from specforge.foundation.errors import ExitCode
from specforge.foundation.terminal import printable
from specforge.language.spec import Origin
from specforge.planning.difference import Compared, Difference, FieldChange, StepChange, Value, compare
from specforge.planning.inputs import inspect_inputs
from specforge.planning.plan import State
from specforge.planning.steps import dotted
from specforge.planning.variation import Variant

if TYPE_CHECKING:
    from specforge.cli.main import Subparsers

_LONGEST_VALUE: Final = 40


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `diff`."""
    parser = subparsers.add_parser(
        "diff",
        help=COMMANDS["diff"],
        description="Show which fields of two specs differ, and which steps each difference runs again.",
    )
    parser.add_argument("a", metavar="A", type=Path, help="a spec file")
    parser.add_argument("b", metavar="B", type=Path, help="the spec file to compare it with")
    parser.add_argument("--json", action="store_true", help="print JSON (docs/reference/json.md)")
    parser.add_argument("--exit-code", action="store_true", help="end with exit code 1 when the plans differ")
    add_assignments(parser)
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the difference."""
    sides = [load_experiment(path, arguments.assignments, arguments.store) for path in (arguments.a, arguments.b)]
    first, second = (
        Compared(Variant(side.spec, inspect_inputs(side.spec, side.digests)), side.plan.steps) for side in sides
    )
    difference = compare(first, second)
    states = {step.id: step.state for step in sides[1].plan.steps}
    if arguments.json:
        document = _json(arguments.a, arguments.b, difference, states)
        result(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        for line in _text(arguments.a, arguments.b, difference, states):
            result(line)
    return ExitCode.DIFFERENT if arguments.exit_code and not difference.same_plan else ExitCode.DONE


def _text(a: Path, b: Path, difference: Difference, states: Mapping[str, State]) -> Iterator[str]:
    if difference.fields:
        rows = [("  field", printable(a.name), printable(b.name), "re-keys")]
        rows += [
            (f"~ {dotted(field.path)}", _shown(field.before, a), _shown(field.after, b), _effect(field))
            for field in difference.fields
        ]
        yield from columns(rows, indent="")
        yield ""
    if difference.same_plan:
        yield "same plan"
        return
    yield from columns(_step_row(step, states) for step in difference.steps)


def _shown(value: Value | None, spec: Path) -> str:
    if value is None:
        return "-"
    text = "unset" if value.value is None else json.dumps(value.value, ensure_ascii=False)
    text = printable(text, longest=_LONGEST_VALUE)
    return text if value.origin is None else f"{text} {_where(value.origin, spec)}"


def _where(origin: Origin, spec: Path) -> str:
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
    steps = " → ".join(_by_kind(field.rekeys))
    return f"{steps} (training goes on)" if field.effect == "continues" else steps


def _by_kind(steps: Sequence[str]) -> Iterator[str]:
    """Yield steps in a few words: the tests of a kind together."""
    for kind, group in groupby(steps, lambda step: step.partition(".")[0]):
        members = list(group)
        yield members[0] if len(members) == 1 else f"{kind}.*"


def _step_row(step: StepChange, states: Mapping[str, State]) -> tuple[str, str, str, str]:
    before, after = ("-" if key is None else key[:8] for key in (step.before, step.after))
    return step.id, before, after, _fate(step, states)


def _fate(step: StepChange, states: Mapping[str, State]) -> str:
    if step.shared:
        return "shared"
    if step.after is None:
        return "is not there"
    why = ", ".join([dotted(path) for path in step.fields] or [f"after {need}" for need in step.follows])
    if states[step.id] is State.REUSE:
        return f"{'is new' if step.before is None else 'differs'}, its result is there"
    word = "goes on" if states[step.id] is State.RESUME else "runs"
    return f"{word}: {why}" if why else word


def _json(a: Path, b: Path, difference: Difference, states: Mapping[str, State]) -> JsonValue:
    return {
        "format": 1,
        "a": str(a),
        "b": str(b),
        "same_plan": difference.same_plan,
        "fields": [
            {
                "path": list(field.path),
                "a": _value_json(field.before),
                "b": _value_json(field.after),
                "rekeys": list(field.rekeys),
                "effect": field.effect,
            }
            for field in difference.fields
        ],
        "steps": [
            {
                "id": step.id,
                "a": step.before,
                "b": step.after,
                "shared": step.shared,
                "state": states[step.id].value if step.id in states else None,
                "fields": [list(path) for path in step.fields],
            }
            for step in difference.steps
        ],
    }


def _value_json(value: Value | None) -> JsonValue:
    if value is None:
        return None
    place = None if value.origin is None else value.origin.place
    return {
        "value": value.value,
        "layer": None if value.origin is None else value.origin.layer,
        "source": None if value.origin is None else value.origin.source,
        "place": None if place is None else {"file": place.path, "line": place.line, "column": place.column},
    }
