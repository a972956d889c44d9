"""`specforge diff A` alone: a spec next to the plan that its last run was started with."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from specforge.cli.spec_arguments import Experiment
from specforge.cli.views.diff_text import by_kind, shown_value, where
from specforge.cli.views.output import columns
from specforge.execution.run_folder import RunFolder
from specforge.foundation.errors import WrongInputError
from specforge.foundation.quantities import counted
from specforge.foundation.terminal import printable
from specforge.planning.comparison.last_plan import ChangeSince, Since, since
from specforge.planning.material import ComponentDifference, FieldDifference, FileRecord
from specforge.planning.plan import State
from specforge.planning.steps import dotted


def since_last_run(experiment: Experiment) -> Since:
    """Return what differs from the last run.

    Raises:
        WrongInputError: SF150, there was none.
    """
    previous = RunFolder(experiment.store, experiment.plan.name).previous_steps()
    if not previous:
        raise WrongInputError(
            "SF150",
            f"`{experiment.plan.name}` has not been run in this store: there is nothing to compare it with",
            notes=(f"the store is {printable(str(experiment.store.root))}",),
            help=f"name a second spec, or run `{shlex.join(['specforge', 'run', *experiment.typed])}`",
        )
    return since(previous, experiment.plan.steps)


def text(found: Since, experiment: Experiment, path: Path) -> Iterator[str]:
    """Yield the lines."""
    if found.changes:
        rows = [("  field or file", "last run", printable(path.name), "read by")]
        rows += [_change_row(change, experiment, path) for change in found.changes]
        yield from columns(rows, indent="")
        yield ""
    if found.same_plan:
        yield "same plan"
        return
    states = {step.id: step.state for step in experiment.plan.steps}
    yield from columns(
        (step.id, *("-" if key is None else key[:8] for key in (step.before, step.after)), _fate(step.id, states))
        if step.before != step.after
        else (step.id, str(step.before)[:8], str(step.after)[:8], "the same")
        for step in found.steps
    )


def _fate(identifier: str, states: Mapping[str, State]) -> str:
    match states.get(identifier):
        case None:
            return "is not there any more"
        case State.REUSE:
            return "its result is there"
        case State.RESUME:
            return "goes on"
        case _:
            return "runs"


def _change_row(change: ChangeSince, experiment: Experiment, path: Path) -> tuple[str, str, str, str]:
    steps = " → ".join(by_kind(change.steps))
    match change.difference:
        case FieldDifference(path=field, before=before, after=after):
            origins = experiment.spec.origins.get(field)
            place = "" if not origins else f" {where(origins[-1], path)}"
            return f"~ {dotted(field)}", shown_value(before), f"{shown_value(after)}{place}", steps
        case ComponentDifference(path=table, before=one, after=other):
            return f"~ {dotted(table)}", printable(one or "-"), printable(other or "-"), steps
        case files:
            return f"~ {printable(files.role)}", _file(files.before), _file(files.after), steps


def _file(record: FileRecord | None) -> str:
    if record is None:
        return "-"
    lines = "" if record.lines is None else f", {counted(record.lines, 'line')}"
    return f"{record.digest[:8]}{lines}"


def as_json(found: Since, experiment: Experiment, path: Path) -> JsonValue:
    """Return the document."""
    states = {step.id: step.state.value for step in experiment.plan.steps}
    return {
        "format": 1,
        "a": str(path),
        "b": None,
        "same_plan": found.same_plan,
        "changes": [_change_json(change) for change in found.changes],
        "steps": [
            {"id": step.id, "last": step.before, "now": step.after, "state": states.get(step.id)}
            for step in found.steps
        ],
    }


def _change_json(change: ChangeSince) -> JsonValue:
    difference = change.difference
    steps: list[JsonValue] = [*change.steps]
    match difference:
        case FieldDifference():
            path: list[JsonValue] = [*difference.path]
            return {"field": path, "last": difference.before, "now": difference.after, "steps": steps}
        case ComponentDifference():
            path = [*difference.path]
            return {"component": path, "last": difference.before, "now": difference.after, "steps": steps}
        case _:
            digests = [None if one is None else one.digest for one in (difference.before, difference.after)]
            return {"input": difference.role, "last": digests[0], "now": digests[1], "steps": steps}
