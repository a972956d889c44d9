"""The compiler: a checked spec becomes a plan. Every command that shows or runs something is a view of what this returns."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from specforge.language.spec import Spec
from specforge.planning.inputs import Inputs, inspect_inputs
from specforge.planning.keys import step_key
from specforge.planning.plan import Plan, State, Step
from specforge.planning.states import settle
from specforge.planning.steps import Draft, draft_steps
from specforge.planning.world import Files, Results

_NO_PLAN: Final[Mapping[str, Mapping[str, JsonValue]]] = MappingProxyType({})


def compile_plan(
    spec: Spec, files: Files, results: Results, previous: Mapping[str, Mapping[str, JsonValue]] = _NO_PLAN
) -> Plan:
    """Compile a spec.

    Args:
        spec: the checked spec.
        files: the data files; all that the spec names are inspected.
        results: the results that are there.
        previous: the steps of the run's last plan, as JSON, by id; for the reasons.

    Raises:
        WrongInputError: a data file is wrong.
    """
    steps = keyed_steps(spec, inspect_inputs(spec, files))
    return Plan(spec.name, spec.path.resolve(), settle(steps, results, previous))


def keyed_steps(spec: Spec, inputs: Inputs) -> tuple[Step, ...]:
    """Return the steps of a spec with their keys; what is there already is not looked at."""
    keys: dict[str, str] = {}
    steps: list[Step] = []
    for draft in draft_steps(spec, inputs):
        needs = {identifier.partition(".")[0]: keys[identifier] for identifier in draft.needs}
        keys[draft.id] = step_key(draft.kind, draft.config, draft.components, draft.inputs, needs)
        steps.append(_step(draft, keys[draft.id], needs))
    return tuple(steps)


def _step(draft: Draft, key: str, needs: Mapping[str, str]) -> Step:
    trajectory = None
    if draft.steady is not None:
        trajectory = step_key(draft.kind, draft.steady, draft.components, draft.inputs, needs)
    return Step(
        id=draft.id,
        kind=draft.kind,
        key=key,
        state=State.RUN,
        reason="no result yet",
        needs=draft.needs,
        components=draft.components,
        inputs=draft.inputs,
        config=draft.config,
        settings=draft.settings,
        trajectory=trajectory,
    )
