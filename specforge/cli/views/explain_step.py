"""The explanation of a step, as lines for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from specforge.cli.views.explain_value import file_text, shown
from specforge.cli.views.output import columns
from specforge.foundation.terminal import printable
from specforge.planning.comparison.variation import value_at
from specforge.planning.explanation.nearest import Cause, Difference, Made, Nearest, NeedDifference, cause_of, telling
from specforge.planning.material import ComponentDifference, FieldDifference, FileRecord, InputDifference
from specforge.planning.plan import State
from specforge.planning.steps import dotted

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.cli.spec_arguments import Experiment
    from specforge.language.spec import Origin, Spec, ValuePath
    from specforge.planning.explanation.step import Going, StepExplanation

_Row: TypeAlias = tuple[str, str, str]

_MARKS: Final = {"changed": "~", "added": "+", "removed": "-"}
_DIGITS: Final = 8  # of a key or digest: enough to tell two apart by eye
_TO_THE_MINUTE: Final = len("2026-01-01T00:00")


def step_lines(explanation: StepExplanation, experiment: Experiment) -> Iterator[str]:
    """Yield the explanation for people."""
    step = explanation.step
    name, key = printable(step.id), step.key[:_DIGITS]
    if explanation.made is not None:
        yield from _reused(explanation, experiment.spec)
        return
    if explanation.stale is not None:
        yield f"{name} will run: {_stale(explanation)}"
        yield f"its result {key} was {_made(explanation.stale)}"
        return
    if step.state is State.RESUME:
        yield f"{name} will go on: {step.reason}"
    else:
        yield f"{name} will run: no result has key {key}"
    if explanation.going is not None and not explanation.going.grown:  # stopped on the way: nothing differs
        yield _going(explanation.going, None)
    elif explanation.nearest is not None:
        yield ""
        yield from _nearest(explanation.nearest, explanation.going, experiment.spec)
    else:
        yield f"there is no earlier result of kind {step.kind} in {file_text(str(experiment.store.root))}"


def _reused(explanation: StepExplanation, spec: Spec) -> Iterator[str]:
    step, made = explanation.step, explanation.made
    assert made is not None
    name, key = printable(step.id), step.key[:_DIGITS]
    if made.key == step.key:
        yield f"{name} is reused: result {key}"
        if made.same_as is not None:
            yield f"it is equal to {made.same_as[:_DIGITS]}: what both are made from is the same, although the keys differ"
    else:
        yield f"{name} is reused: no result has key {key}"
        yield f"{made.key[:_DIGITS]} is equal: what both are made from is the same, although the keys differ"
    yield _made(made)
    if explanation.differences:
        yield ""
        yield "what gave it another key"
        yield from difference_lines(explanation.differences, spec)


def _stale(explanation: StepExplanation) -> str:
    needs = " and ".join(printable(need) for need in explanation.remade or explanation.step.needs)
    if explanation.remade:
        return f"{needs} was made again since and came out otherwise"
    return f"{needs} came out otherwise than what its result was made from" if needs else explanation.step.reason


def _made(made: Made) -> str:
    """Return who made a result, when, where and in what time, as far as its manifest says so."""
    words = [f"made by {printable(made.run)}" if made.run is not None else "made by nobody who wrote it down"]
    words += [printable(made.at[:_TO_THE_MINUTE].replace("T", " "))] if made.at is not None else []
    words += [f"on {printable(made.host)}"] if made.host is not None else []
    words += [f"in {made.seconds:,.1f} s"] if made.seconds is not None else []
    words += [f"with specforge {printable(made.specforge)}"] if made.specforge is not None else []
    return ", ".join(words)


def _nearest(nearest: Nearest, going: Going | None, spec: Spec) -> Iterator[str]:
    key = nearest.made.key[:_DIGITS]
    made = replace(nearest.made, host=None, seconds=None, specforge=None)
    yield f"nearest is {key}, {_made(made)}"
    if not nearest.causes:
        yield "nothing that was written down about it differs: its key was made by other rules"
        return
    yield from difference_lines(telling(nearest.differences), spec)
    yield ""
    if going is not None:
        yield _going(going, key)
    if going is None or going.obstacle is not None:
        yield from _way_back(nearest)


def _way_back(nearest: Nearest) -> Iterator[str]:
    """Yield how the earlier result could be kept, where that is known."""
    if any(cause[0] == "step" for cause in nearest.causes):
        yield "what else differs is not known: the results that it was made from are gone"
        return
    count = len(nearest.causes)
    what = {1: "it", 2: "both"}.get(count, f"all {count}")
    yield f"to keep {nearest.made.key[:_DIGITS]}, undo {what}"


def _going(going: Going, key: str | None) -> str:
    """Return whether training goes on, and why or why not."""
    fields = " or ".join(f"train.{name}" for name in going.grown)
    scheduler = printable(going.scheduler)
    if going.updates is not None:
        checkpoint = f"it goes on from the checkpoint at update {going.updates:,} (epoch {going.epoch})"
        return f"{checkpoint}: the rates of {scheduler} do not depend on {fields}" if fields else checkpoint
    start = f"training cannot go on from {key}: "
    match going.obstacle:
        case "schedule":
            return (
                f"{start}the rates of {scheduler} depend on where training ends, so those so far would have been others"
            )
        case "beyond the budget":
            return f"{start}its earliest checkpoint is at update {going.first or 0:,}, beyond the budget"
        case _:
            return f"{start}its checkpoints are gone, and a result holds no state of the optimizer"


def difference_lines(found: Sequence[Difference], spec: Spec) -> list[str]:
    """Return differences as lines: what differs, old and new, and where the value in force was said."""
    rows = list(_rows(found, spec, 0, set()))
    return columns(rows, indent="")


def _rows(found: Sequence[Difference], spec: Spec, depth: int, seen: set[Cause]) -> Iterator[_Row]:
    """Yield a row for each difference; what another step brings along stands below it, indented."""
    indent = "  " * depth
    for difference in found:
        cause = cause_of(difference)
        match difference:
            case NeedDifference():
                keys = f"{difference.before[:_DIGITS]} → {difference.after[:_DIGITS]}"
                yield f"{indent}~ {printable(difference.step)}", keys, _need_remark(difference)
                yield from _rows(
                    difference.causes if difference.alike else telling(difference.causes), spec, depth + 1, seen
                )
            case _ if cause in seen:
                yield f"{indent}  {_title(difference)}", "as above", ""
            case InputDifference():
                seen.add(cause)
                yield from _input_rows(difference, indent)
            case FieldDifference() | ComponentDifference():
                seen.add(cause)
                values = f"{_value(difference, difference.before)} → {_value(difference, difference.after)}"
                yield f"{indent}{_MARKS[difference.change]} {_title(difference)}", values, _place(difference, spec)


def _title(difference: Difference) -> str:
    match difference:
        case NeedDifference(step=name) | InputDifference(role=name):
            return printable(name)
        case FieldDifference(path=path) | ComponentDifference(path=path):
            return printable(dotted(path))


def _need_remark(difference: NeedDifference) -> str:
    if not difference.compared:
        return "the earlier result is gone"
    return "came out the same" if difference.alike else "its result"


def _value(difference: FieldDifference | ComponentDifference, value: JsonValue) -> str:
    if isinstance(difference, ComponentDifference):
        return "none" if value is None else printable(str(value))
    if value is None and difference.change != "changed":
        return "not there"
    return shown(value)


def _input_rows(difference: InputDifference, indent: str) -> Iterator[_Row]:
    """Yield what became of a file: its path, then digest, size and lines, old and new."""
    mark, role = _MARKS[difference.change], printable(difference.role)
    before, after = difference.before, difference.after
    paths = list(dict.fromkeys(file_text(file.path) for file in (before, after) if file is not None))
    if before is None or after is None:
        file = after or before
        assert file is not None
        yield f"{indent}{mark} {role}", f"sha256 {file.digest[:_DIGITS]}, {_size(file)}, {_lines(file)}", paths[0]
        return
    yield f"{indent}{mark} {role}", f"sha256 {before.digest[:_DIGITS]} → {after.digest[:_DIGITS]}", " → ".join(paths)
    yield f"{indent}  ", f"{_size(before)} → {_size(after)}", ""
    yield f"{indent}  ", f"{_lines(before)} → {_lines(after)}", ""


def _size(file: FileRecord) -> str:
    return "size not written down" if file.size is None else f"{file.size:,} bytes"


def _lines(file: FileRecord) -> str:
    return "lines not written down" if file.lines is None else f"{file.lines:,} lines"


def _place(difference: FieldDifference | ComponentDifference, spec: Spec) -> str:
    """Return where the value in force was said."""
    if isinstance(difference, ComponentDifference) and difference.before and difference.after:
        before, after = difference.before.partition("+")[0], difference.after.partition("+")[0]
        if before == after:
            return "its code was edited"
        if before.partition("@")[0] == after.partition("@")[0]:
            return "another version is installed"
    origin = _origin(difference.path, spec)
    if origin is None:
        return ""
    if origin.layer == "set":
        return f"--set {printable(origin.source)}"
    if origin.place is not None:
        return printable(str(origin.place))
    return printable(origin.source) if origin.layer == "preset" else f"default of {printable(origin.source)}"


def _origin(path: ValuePath, spec: Spec) -> Origin | None:
    """Return who says the value at a path: of a table whoever names its component, of what is left out the table around it."""
    for known in ((*path, "use"), (*path, "path"), path, *(path[:length] for length in range(len(path) - 1, 1, -1))):
        if known in spec.origins and (known == path or value_at(spec, known) is not None):
            return spec.origins[known][-1]
    return None


def step_json(explanation: StepExplanation, spec: Spec) -> dict[str, JsonValue]:
    """Return the explanation as JSON; docs/reference/json.md describes it."""
    step, nearest, going = explanation.step, explanation.nearest, explanation.going
    return {
        "id": step.id,
        "kind": step.kind,
        "key": step.key,
        "state": step.state.value,
        "reason": step.reason,
        "made": _made_json(explanation.made),
        "same_but": [_difference_json(difference, spec) for difference in explanation.differences],
        "stale": _made_json(explanation.stale),
        "remade": list(explanation.remade),
        "nearest": None
        if nearest is None
        else {
            "made": _made_json(nearest.made),
            "causes": len(nearest.causes),
            "differences": [_difference_json(difference, spec) for difference in nearest.differences],
        },
        "results": explanation.results,
        "going": None
        if going is None
        else {
            "grown": list(going.grown),
            "updates": going.updates,
            "epoch": going.epoch,
            "obstacle": going.obstacle,
            "scheduler": going.scheduler,
        },
    }


def _made_json(made: Made | None) -> JsonValue:
    if made is None:
        return None
    return {
        "key": made.key,
        "run": made.run,
        "at": made.at,
        "host": made.host,
        "seconds": made.seconds,
        "specforge": made.specforge,
        "same_as": made.same_as,
    }


def _difference_json(difference: Difference, spec: Spec) -> JsonValue:
    match difference:
        case NeedDifference():
            return {
                "what": "step",
                "step": difference.step,
                "before": difference.before,
                "after": difference.after,
                "compared": difference.compared,
                "alike": difference.alike,
                "causes": [_difference_json(cause, spec) for cause in difference.causes],
            }
        case InputDifference():
            return {
                "what": "input",
                "change": difference.change,
                "role": difference.role,
                "before": _file_json(difference.before),
                "after": _file_json(difference.after),
            }
        case FieldDifference() | ComponentDifference():
            origin = _origin(difference.path, spec)
            place = None if origin is None else origin.place
            return {
                "what": "field" if isinstance(difference, FieldDifference) else "component",
                "change": difference.change,
                "path": list(difference.path),
                "before": difference.before,
                "after": difference.after,
                "layer": None if origin is None else origin.layer,
                "source": None if origin is None else origin.source,
                "place": None if place is None else {"file": place.path, "line": place.line, "column": place.column},
            }


def _file_json(file: FileRecord | None) -> JsonValue:
    if file is None:
        return None
    return {"path": file.path, "digest": file.digest, "lines": file.lines, "size": file.size}
