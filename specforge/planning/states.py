"""States: what `run` will do with each step, and why, from the results that are there.

A result is good for a step when it has its key and was made from the outputs that the steps above have now; it has another
key and is good all the same when it was made from equal ones (early cut-off). The runner asks the same questions again
when the steps above have run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from specforge.planning.keys import made_from, outputs_digest
from specforge.planning.material import InputDifference, differences, material_of_result, material_of_step
from specforge.planning.plan import State, Step
from specforge.planning.world import Manifest, Results

_TO_THE_MINUTE: Final = len("2026-01-01T00:00")
_MOST_NAMED: Final = 3  # differences that fit on the line of a step


@dataclass(frozen=True, slots=True)
class Found:
    """A result that is good for a step.

    Args:
        key: the key it is stored under; the step's own, or another one's by early cut-off.
        manifest: its manifest.
    """

    key: str
    manifest: Manifest


def find_result(step: Step, outputs: Mapping[str, str | None], results: Results) -> Found | None:
    """Return a result that is good for a step, or None.

    Args:
        step: the step.
        outputs: id of each step above → digest of its outputs; None while they are not there.
        results: the results that are there.
    """
    own = results.manifest(step.kind, step.key)
    origin = origin_digest(step, outputs)
    if origin is None:
        return None if own is None else Found(step.key, own)
    if own is not None and own.get("made_from") == origin:
        return Found(step.key, own)
    equal = (pair for pair in results.manifests(step.kind) if pair[1].get("made_from") == origin)
    return next((Found(key, manifest) for key, manifest in equal), None)


def find_results(steps: tuple[Step, ...], results: Results) -> dict[str, Found]:
    """Return id → result of each step that has a good one.

    Args:
        steps: in the order of running.
        results: the results that are there.
    """
    found: dict[str, Found] = {}
    for step in steps:
        good = find_result(step, {need: _outputs(found.get(need)) for need in step.needs}, results)
        if good is not None:
            found[step.id] = good
    return found


def _outputs(found: Found | None) -> str | None:
    return None if found is None else outputs_digest(found.manifest)


def origin_digest(step: Step, outputs: Mapping[str, str | None]) -> str | None:
    """Return what a step's result would be made from (`keys.made_from`), or None while a step above has no result."""
    known = {identifier.partition(".")[0]: outputs[identifier] for identifier in step.needs}
    digests = {kind: digest for kind, digest in known.items() if digest is not None}
    if len(digests) < len(known):
        return None
    return made_from(step.kind, step.config, step.components, step.inputs, digests)


def settle(
    steps: tuple[Step, ...], results: Results, previous: Mapping[str, Mapping[str, JsonValue]]
) -> tuple[Step, ...]:
    """Return steps with their states and reasons filled in.

    Args:
        steps: in the order of running.
        results: the results that are there.
        previous: the steps of the run's last plan, as JSON, by id; empty when there was none.
    """
    known = find_results(steps, results)
    settled: list[Step] = []
    for step in steps:
        waiting = [need for need in step.needs if need not in known]
        state, reason = _state(step, known.get(step.id), results, previous.get(step.id), waiting)
        settled.append(step.with_state(state, reason))
    return tuple(settled)


def _state(
    step: Step,
    found: Found | None,
    results: Results,
    previous: Mapping[str, JsonValue] | None,
    waiting: list[str],
) -> tuple[State, str]:
    if found is not None:
        return State.REUSE, reuse_reason(step, found)
    reached = _reached(step, results)
    if reached is not None:
        return State.RESUME, reached
    return State.RUN, _run_reason(step, results, previous, waiting)


def reuse_reason(step: Step, found: Found) -> str:
    """Say where a result comes from."""
    made = found.manifest.get("made")
    by = (
        f"made by {made['run']}, {str(made['at'])[:_TO_THE_MINUTE].replace('T', ' ')}"
        if isinstance(made, dict)
        else "made before"
    )
    if found.key != step.key:
        return f"equal to {found.key[:8]}: same settings and inputs, {by}"
    return by


def _reached(step: Step, results: Results) -> str | None:
    """Say how far an unfinished training is, or None when it has not begun within the step's budget."""
    if step.trajectory is None:
        return None
    budget = step.config["train"]
    assert isinstance(budget, dict)
    most_updates, most_epochs = budget.get("max_updates"), budget.get("max_epochs")
    within = [
        checkpoint
        for checkpoint in results.checkpoints(step.trajectory)
        if _within(checkpoint.get("updates"), most_updates) and _within(checkpoint.get("epoch"), most_epochs)
    ]
    if not within:
        return None
    if isinstance(most_updates, int):
        return f"at update {within[-1]['updates']:,} of {most_updates:,}"
    return f"at update {within[-1]['updates']:,} in epoch {within[-1]['epoch']} of {most_epochs}"


def _within(reached: JsonValue, budget: JsonValue) -> bool:
    return isinstance(reached, int) and (not isinstance(budget, int) or reached <= budget)


def _run_reason(step: Step, results: Results, previous: Mapping[str, JsonValue] | None, waiting: list[str]) -> str:
    if results.manifest(step.kind, step.key) is not None:
        return f"{' and '.join(step.needs)} came out otherwise" if step.needs else "its result was made otherwise"
    changes = [] if previous is None else _changes(step, previous)
    if changes:
        more = f" and {len(changes) - _MOST_NAMED} more" if len(changes) > _MOST_NAMED else ""
        return f"changed: {', '.join(changes[:_MOST_NAMED])}{more}"
    if waiting and previous is not None and previous.get("key") != step.key:
        return f"after {' and '.join(waiting)}"
    return "no result yet"


def _changes(step: Step, previous: Mapping[str, JsonValue]) -> list[str]:
    """Return what is different since the last plan: paths of fields, roles of inputs, tables of components."""
    return [
        found.role if isinstance(found, InputDifference) else ".".join(map(str, found.path))
        for found in differences(material_of_result(previous), material_of_step(step))
    ]
