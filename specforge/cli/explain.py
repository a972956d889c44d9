"""`specforge explain`: where a value comes from, why a step runs, what an error code means."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from specforge.cli.main import COMMANDS
from specforge.cli.spec_arguments import (
    add_assignments,
    add_point,
    add_store,
    is_plan_file,
    load_any_spec,
    load_experiment,
)
from specforge.cli.views.output import note, result
from specforge.foundation.errors import ExitCode, WrongInputError
from specforge.foundation.terminal import printable

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.cli.main import Subparsers
    from specforge.cli.spec_arguments import Experiment
    from specforge.language.spec import Spec
    from specforge.planning.plan import Step

_CODE: Final = re.compile(r"[A-Za-z]{1,3}\d{1,4}")
_FORMAT: Final = 1


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `explain`."""
    parser = subparsers.add_parser(
        "explain",
        help=COMMANDS["explain"],
        description=(
            "Say where a value of a spec comes from and which results depend on it (`explain SPEC model.dropout`, "
            "`explain SPEC data.train`); why a step runs, goes on or is reused (`explain SPEC train`); "
            "or what an error code means (`explain SF101`)."
        ),
    )
    parser.add_argument("subject", metavar="SPEC|CODE", help="the spec file, or the code of an error or a warning")
    parser.add_argument(
        "what",
        metavar="PATH|STEP",
        nargs="?",
        help="a field, a table, or a step; `[train]` is the table, `train` the step",
    )
    parser.add_argument("--json", action="store_true", help="print JSON (docs/reference/json.md)")
    add_point(parser)
    add_assignments(parser)
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation."""
    subject, what = arguments.subject, arguments.what
    if what is None and _CODE.fullmatch(subject) and not Path(subject).exists():
        _explain_code(subject, as_json=arguments.json)
        return ExitCode.DONE
    _check_order(subject, what)
    spec = _load(arguments)
    steps = _planned(spec)
    chosen = [step.id for step in steps if what in {step.id, step.kind}]
    if what is None:
        raise WrongInputError(
            "SF111",
            "this does not say what to explain",
            help=f"name a field, a table, or one of the steps {_names(steps)}",
        )
    if chosen:
        _explain_steps(chosen, arguments)
    elif is_plan_file(Path(subject)):
        help_text = f"`specforge explain {printable(str(spec.path), longest=500)} {printable(what)}` asks the spec"
        raise WrongInputError("SF115", "a plan file holds values, and not where they came from", help=help_text)
    else:
        _explain_path(what, spec, [step.id for step in steps], arguments)
    return ExitCode.DONE


def _explain_code(code: str, *, as_json: bool) -> None:
    from specforge.language.messages.pages import codes, page
    from specforge.language.messages.suggest import nearest

    text = page(code)
    if text is None:
        near = nearest(code.upper(), codes(), cutoff=0.7)
        words = f"did you mean `{near}`?" if near else "docs/reference/errors.md lists all codes"
        raise WrongInputError("SF112", f"no error has the code `{printable(code.upper())}`", help=words)
    result(
        json.dumps({"format": _FORMAT, "code": code.upper(), "page": text}, ensure_ascii=False)
        if as_json
        else text.rstrip()
    )


def _check_order(subject: str, what: str | None) -> None:
    """Refuse a command line without a spec in the first place."""
    if Path(subject).exists():
        return
    if what is not None and Path(what).is_file():
        arguments = f"{printable(what)} {printable(subject)}"
    elif what is None and not subject.endswith(".toml"):
        arguments = f"SPEC {printable(subject)}"
    else:
        return  # reading the spec will say that it is not there
    raise WrongInputError(
        "SF111",
        f"`{printable(subject)}` is no spec file",
        help=f"the spec comes first: `specforge explain {arguments}`",
    )


def _load(arguments: argparse.Namespace) -> Spec:
    return load_any_spec(Path(arguments.subject), arguments.assignments, arguments.point)


def _experiment(arguments: argparse.Namespace) -> Experiment:
    return load_experiment(Path(arguments.subject), arguments.assignments, arguments.store, arguments.point)


def _planned(spec: Spec) -> tuple[Step, ...]:
    """Return the steps of a spec; no data are read, so their keys mean nothing."""
    from specforge.planning.compile import keyed_steps
    from specforge.planning.inputs import inspect_inputs
    from specforge.planning.world import UnreadFiles

    return keyed_steps(spec, inspect_inputs(spec, UnreadFiles()))


def _names(steps: tuple[Step, ...]) -> str:
    return ", ".join(f"`{printable(step.id)}`" for step in steps)


def _explain_path(text: str, spec: Spec, steps: list[str], arguments: argparse.Namespace) -> None:
    from specforge.cli.views.explain_value import value_json, value_lines
    from specforge.language.history import Statements
    from specforge.planning.comparison.variation import Variant
    from specforge.planning.compile import keyed_steps
    from specforge.planning.explanation.paths import find_path
    from specforge.planning.explanation.value import explain_path
    from specforge.planning.inputs import inspect_inputs
    from specforge.planning.lock.contents import is_data_path
    from specforge.planning.world import UnreadFiles

    path = find_path(text, spec, steps)
    if is_data_path(path):  # what its files hold is part of the answer
        experiment = _experiment(arguments)
        inputs = inspect_inputs(spec, experiment.digests)
    else:
        inputs = inspect_inputs(spec, UnreadFiles())
    statements = Statements(Path(arguments.subject), arguments.assignments)
    explanation = explain_path(path, Variant(spec, inputs), statements, keyed_steps(spec, inputs))
    if arguments.json:
        _print_json(arguments.subject, value_json(explanation))
    else:
        for line in value_lines(explanation, spec):
            result(line)


def _explain_steps(chosen: list[str], arguments: argparse.Namespace) -> None:
    from specforge.cli.views.explain_step import step_json, step_lines
    from specforge.planning.explanation.step import explain_step

    experiment = _experiment(arguments)
    spec, plan, store = experiment.spec, experiment.plan, experiment.store
    if spec.sweep is not None:
        note(f"this is the spec without its sweep; --point N explains one of its {len(spec.sweep.points)} points")
    explanations = [explain_step(plan.step(identifier), spec, plan, store) for identifier in chosen]
    if arguments.json:
        _print_json(arguments.subject, {"steps": [step_json(explanation, spec) for explanation in explanations]})
        return
    for number, explanation in enumerate(explanations):
        if number:
            result("")
        for line in step_lines(explanation, experiment):
            result(line)


def _print_json(subject: str, document: dict[str, JsonValue]) -> None:
    result(json.dumps({"format": _FORMAT, "spec": subject, **document}, indent=2, ensure_ascii=False))
