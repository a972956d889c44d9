"""`specforge test`: one part of an experiment alone, before it costs a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from specforge.cli.main import COMMANDS
from specforge.cli.spec_arguments import (
    Experiment,
    add_assignments,
    add_point,
    add_store,
    load_any_spec,
    load_experiment,
)
from specforge.cli.views.output import note, result
from specforge.foundation.errors import EnvironmentFaultError, ExitCode, SpecforgeError, WrongInputError
from specforge.foundation.events import Event, MessageEvent
from specforge.foundation.terminal import printable
from specforge.language.messages.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from specforge.cli.main import Subparsers
    from specforge.execution.questions.trial_results import Trial
    from specforge.execution.signals import StopRequest
    from specforge.language.spec import Spec

WHAT: Final = MappingProxyType(
    {
        "tokenizer": "learns it, as `run` would, and shows how it cuts the text and whether the text comes back",
        "data": "reads, filters and batches: items and tokens per update, padding, lengths, speed, a few items",
        "model": "one batch forward and backward: parameters and gradients by part, first loss, time, memory, its promises",
        "criterion": "its value and gradient on a batch, and whether the halves of the batch add up to it",
        "optimizer": "ten updates on one batch: does the loss fall, how far do the weights move, what does it keep",
        "lr_scheduler": "the learning rate of telling updates",
        "train.valid_search": "decodes a few validation lines as validation does",
        "generate.search": "decodes a few validation lines, with the run's checkpoint or the first weights",
        "generate.metrics": "scores the references against themselves, against half of their words, and shuffled",
    }
)
"""What can be tested → what the test does."""

_SHORT: Final = MappingProxyType(
    {
        "search": "generate.search",
        "valid_search": "train.valid_search",
        "metrics": "generate.metrics",
        "metric": "generate.metrics",
    }
)

_INSTEAD: Final = MappingProxyType(
    {
        "task": "`data` shows the batches that it makes",
        "preprocess": "`data` shows what it leaves, and why the rest is left out",
        "train": "`model`, `criterion`, `optimizer` and `lr_scheduler` are what it is made of",
        "generate": "`generate.search` and `generate.metrics` are what it is made of",
        "score": "`generate.metrics` is what it is made of",
        "run": "it says where to compute, and `model` shows how fast that is",
    }
)
"""Tables and steps that cannot be tested alone → what to test instead."""

_FAULTS: Final = frozenset({"SF142", "SF143", "SF210", "SF633"})
"""Codes of faults of a component, which are shown at the line that chose it."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `test`."""
    parser = subparsers.add_parser(
        "test",
        help=COMMANDS["test"],
        description="Try one part of an experiment alone, on its own data, without running the rest.",
        epilog="components:\n" + "\n".join(f"  {name:<18}  {text}" for name, text in WHAT.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("spec", metavar="SPEC", type=Path, help="the spec file")
    parser.add_argument("component", metavar="COMPONENT", help="what to test, by its table in the spec (below)")
    parser.add_argument("--json", action="store_true", help="print JSON (docs/reference/json.md)")
    add_point(parser)
    add_assignments(parser)
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Try the part and print what was found."""
    if sys.platform == "win32":
        raise EnvironmentFaultError("SF606", "`test` needs Linux or macOS; validate, show, plan and diff work here too")
    typed: str = arguments.component
    component = _SHORT.get(typed, typed)
    if component in _INSTEAD:
        message = f"`{component}` cannot be tested alone"
        raise WrongInputError("SF141", message, help=_INSTEAD[component])
    if component not in WHAT:
        raise _unknown(arguments, typed)
    experiment = load_experiment(arguments.spec, arguments.assignments, arguments.store, arguments.point)
    from specforge.execution.questions.trial import tried_parts

    # the trial of a search compares its outputs with those of validation data
    idle = component == "generate.search" and "generate" not in experiment.spec.task.test_steps
    if idle or not tried_parts(experiment.spec, component):
        raise _not_there(experiment.spec, component)
    try:
        trial = _try(experiment, component)
    except SpecforgeError as error:
        raise _located(error, experiment.spec, component) from error
    _print(trial, as_json=arguments.json)
    return ExitCode.DONE


def _not_there(spec: Spec, component: str) -> WrongInputError:
    """Return the error of a table that the spec does not have."""
    task = spec.parts["task",].registered.component.name
    if component == "generate.metrics":
        return WrongInputError("SF141", f"there is no `{component}`: `{task}` has no output to score")
    if not spec.task.searches or "generate" not in spec.task.test_steps:
        return WrongInputError("SF141", f"there is no `{component}`: `{task}` searches for no output")
    message = f"there is no `{component}`: validation decodes nothing in this spec"
    return WrongInputError("SF141", message, help='`train.best_metric = "bleu"` would have it decode')


def _try(experiment: Experiment, component: str) -> Trial:
    from specforge.execution.questions.trial import try_component
    from specforge.execution.signals import stop_requests

    with stop_requests() as stop:
        if component == "tokenizer":
            _learn_tokenizer(experiment, stop)
        return try_component(experiment.spec, experiment.plan, experiment.store, component, _show, stop)


def _learn_tokenizer(experiment: Experiment, stop: StopRequest) -> None:
    """Make the result of the tokenizer step, where there is such a step and its result is not there."""
    from specforge.execution.progress import display
    from specforge.execution.runner import Options, Runner
    from specforge.planning.states import find_results

    steps = tuple(step for step in experiment.plan.steps if step.kind == "tokenizer")
    if all(step.id in find_results(steps, experiment.store) for step in steps):
        return
    with display() as shown:
        spec, plan, store = experiment.spec, experiment.plan, experiment.store
        Runner(spec, plan, store, experiment.digests, shown, stop, Options()).run(steps)


def _show(event: Event) -> None:
    if isinstance(event, MessageEvent):
        level = "" if event.level == "info" else f"{event.level}: "
        note(f"{level}{printable(event.text, longest=1_000)}")


def _print(trial: Trial, *, as_json: bool) -> None:
    for warning in trial.warnings:
        note(f"warning: {printable(warning, longest=1_000)}")
    if as_json:
        import json

        document = {"format": 1, **trial.model_dump(mode="json")}
        result(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
        return
    from specforge.cli.views.trial_text import trial_lines

    for line in trial_lines(trial):
        result(line)


def _unknown(arguments: argparse.Namespace, typed: str) -> WrongInputError:
    """Return the error of a component that there is not; one that the spec calls by that name is pointed at."""
    from specforge.language.messages.suggest import nearest

    near = nearest(typed, [*WHAT, *_SHORT, *_INSTEAD])
    if near is not None:
        hint = f"did you mean `{near}`?"
    else:
        spec = load_any_spec(arguments.spec, arguments.assignments, arguments.point)
        tables = _tables_of(spec, typed)
        hint = (
            f"`{typed}` stands in the table `{tables[0]}`: test that"
            if tables
            else f"what can be tested: {', '.join(WHAT)}"
        )
    return WrongInputError("SF140", f"there is no component `{printable(typed)}` to test", help=hint)


def _tables_of(spec: Spec, name: str) -> list[str]:
    """Return the tables that can be tested and that name a component so."""
    from specforge.execution.questions.trial import tried_parts

    return [
        component
        for component in WHAT
        for part in tried_parts(spec, component).values()
        if name in {part.registered.component.name, part.registered.qualified, part.preset}
    ]


def _located(error: SpecforgeError, spec: Spec, component: str) -> SpecforgeError:
    """Return the error of a component as a diagnostic at the line of the spec that chose the component."""
    if error.code not in _FAULTS:
        return error
    from specforge.execution.questions.trial import tried_parts
    from specforge.language.places import label_at

    parts = {**tried_parts(spec, component), **spec.parts}
    blamed = (path for path, part in parts.items() if f"`{part.registered.qualified}`" in error.message)
    path = next(blamed, next(iter(parts)))
    label = label_at(spec, (*path, "use"), f"this {parts[path].registered.component.kind}")
    labels = () if label is None else (label,)
    return ComponentFaultError([Diagnostic(error.code, error.message, labels, error.notes, error.help)])


class ComponentFaultError(SpecError):
    """A component at fault: shown like a mistake in the spec, with the exit code of a step that failed."""

    exit_code = ExitCode.STEP_FAILED
