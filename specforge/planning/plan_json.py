"""A plan as JSON: what `plan --json` prints and a run keeps as `plan.json`. Documented in docs/reference/json.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from specforge.planning.plan import Plan, Step

PLAN_FORMAT: Final = 1


def plan_json(plan: Plan) -> dict[str, JsonValue]:
    """Return a plan as JSON."""
    return {
        "format": PLAN_FORMAT,
        "name": plan.name,
        "spec": str(plan.spec),
        "steps": [_step_json(step) for step in plan.steps],
    }


def _step_json(step: Step) -> dict[str, JsonValue]:
    inputs: list[JsonValue] = [
        {"role": file.role, "path": str(file.path), "digest": file.digest, "lines": file.lines, "crlf": file.crlf}
        for file in step.inputs
    ]
    return {
        "id": step.id,
        "kind": step.kind,
        "key": step.key,
        "state": step.state.value,
        "reason": step.reason,
        "needs": list(step.needs),
        "components": dict(step.components),
        "inputs": inputs,
        "config": dict(step.config),
    }


def steps_by_id(plan: JsonValue) -> dict[str, Mapping[str, JsonValue]]:
    """Return the steps of a plan in JSON by their ids; empty for what is no plan of ours."""
    if not isinstance(plan, dict) or plan.get("format") != PLAN_FORMAT:
        return {}
    steps = plan.get("steps")
    listed = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    return {str(step["id"]): step for step in listed if "id" in step}
