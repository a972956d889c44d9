"""`specforge plan` on a spec with a sweep: all points, what they share, and what is left to train."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from specforge.cli.spec_arguments import Experiment
from specforge.cli.views.output import columns, note, result
from specforge.cli.views.sweep_values import cells, heads, plural, values_json
from specforge.execution.progress import duration
from specforge.foundation.errors import ExitCode
from specforge.foundation.terminal import printable
from specforge.planning.plan import Plan, State, StepKind
from specforge.planning.plan_json import PLAN_FORMAT, plan_json
from specforge.planning.sharing import Shared, shared_steps
from specforge.planning.steps import KINDS

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.cli.lock_check import LockState
    from specforge.execution.sweeps.price import Price
    from specforge.language.spec import Spec

_SHARED: Final = "as "
_WORDS: Final = {State.REUSE: "reused", State.RESUME: "to resume", State.RUN: "to run"}


def plan_sweep(
    arguments: argparse.Namespace, experiment: Experiment, points: Sequence[Experiment], lock: LockState | None
) -> int:
    """Print the plan of a sweep.

    Args:
        arguments: of the command.
        experiment: the spec beside its sweep.
        points: its points.
        lock: how the lock file stands, where there is one.
    """
    shared = shared_steps([point.plan for point in points])
    price = None if arguments.no_estimates else _price(points)
    if arguments.json:
        document = _json(experiment, points, shared, price) | {"lock": None if lock is None else lock.as_json()}
        result(json.dumps(document, indent=2, ensure_ascii=False))
        return ExitCode.DONE
    for line in _text(experiment.spec, points, shared, price):
        result(line)
    for line in () if lock is None else lock.lines():
        result(line)
    return ExitCode.DONE


def _price(points: Sequence[Experiment]) -> Price:
    from specforge.execution.signals import stop_requests
    from specforge.execution.sweeps.price import price  # starts processes, which not every platform does our way

    left = {step.key for point in points for step in point.plan.steps if _is_left(step.kind, step.state)}
    if len(left) > 1:
        note(f"estimating {plural(len(left), 'training')} (--no-estimates leaves this out)")
    with stop_requests() as stop:
        return price([(point.spec, point.plan) for point in points], points[0].store, stop)


def _is_left(kind: StepKind, state: State) -> bool:
    return kind == "train" and state is not State.REUSE


def _text(spec: Spec, points: Sequence[Experiment], shared: Sequence[Shared], price: Price | None) -> Iterator[str]:
    assert spec.sweep is not None
    kinds = [one.kind for one in shared]
    rows = [[*heads(spec.sweep), *kinds]]
    holder: dict[tuple[StepKind, tuple[str, ...]], int] = {}
    for number, (point, experiment) in enumerate(zip(spec.sweep.points, points, strict=True), 1):
        rows.append([*cells(spec.sweep, point), *(_state(experiment.plan, kind, number, holder) for kind in kinds)])
    yield f"{printable(spec.name)} · {plural(len(points), 'point')}\n"
    yield from columns(rows)
    yield ""
    if any(cell.startswith(_SHARED) for row in rows[1:] for cell in row[-len(kinds) :]):
        yield f"  {_SHARED}N: shared with point N, and run once"
    yield f"  {plural(len(points), 'point')}: {', '.join(map(_counted, shared))}"
    if price is not None:
        yield from _price_lines(price)


def _state(plan: Plan, kind: StepKind, number: int, holder: dict[tuple[StepKind, tuple[str, ...]], int]) -> str:
    """Return what happens to the steps of a kind at a point: their state, or the earlier point that has the same."""
    steps = [step for step in plan.steps if step.kind == kind]
    earlier = holder.setdefault((kind, tuple(step.key for step in steps)), number)
    states = {step.state for step in steps}
    if not steps:
        return "-"
    if states == {State.REUSE}:
        return State.REUSE.value
    if earlier != number:
        return f"{_SHARED}{earlier}"
    return " and ".join(state.value for state in State if state in states)


def _counted(shared: Shared) -> str:
    """Return how many steps of a kind there are: `6 train`, `1 preprocess (reused)`, `6 train (2 reused)`."""
    states = shared.states
    count = len(shared.steps)
    rest = {state: number for state, number in states.items() if state is not State.RUN}
    if not rest:
        return f"{count:,} {shared.kind}"
    words = [_WORDS[state] if number == count else f"{number:,} {_WORDS[state]}" for state, number in rest.items()]
    return f"{count:,} {shared.kind} ({', '.join(words)})"


def _price_lines(price: Price) -> Iterator[str]:
    if not price.trainings:
        yield "  nothing is left to train"
        return
    about = "≈ " if price.approximate else ""
    known = price.trainings - price.unknown
    if known:
        others = f" for {known:,} of {plural(price.trainings, 'training')}" if price.unknown else ""
        yield f"  left to train: {about}{price.flop:.2g} FLOP{others}"
    else:
        yield "  left to train: nobody knows how many updates"
    if price.seconds is not None:
        timed = price.trainings - price.untimed
        others = f" for {timed:,} of {plural(price.trainings, 'training')}" if price.untimed else ""
        yield f"  in about {duration(price.seconds)}{others}, one after the other on this host"


def _json(
    experiment: Experiment, points: Sequence[Experiment], shared: Sequence[Shared], price: Price | None
) -> dict[str, JsonValue]:
    sweep = experiment.spec.sweep
    assert sweep is not None
    listed: list[JsonValue] = []
    for point, one in zip(sweep.points, points, strict=True):
        plan = plan_json(one.plan)
        listed.append(
            {"number": point.number, "name": point.name, "values": values_json(point), "steps": plan["steps"]}
        )
    states: dict[str, JsonValue] = {
        one.kind: {"steps": len(one.steps), **{state.value: one.states.get(state, 0) for state in State}}
        for one in shared
    }
    return {
        "format": PLAN_FORMAT,
        "name": experiment.plan.name,
        "spec": str(experiment.plan.spec),
        "points": listed,
        "shared": {kind: states[kind] for kind in KINDS if kind in states},
        "price": None if price is None else _price_json(price),
    }


def _price_json(price: Price) -> JsonValue:
    return {
        "trainings": price.trainings,
        "flop": price.flop,
        "unknown": price.unknown,
        "seconds": price.seconds,
        "untimed": price.untimed,
        "approximate": price.approximate,
    }
