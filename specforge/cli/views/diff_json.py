"""A difference as JSON. Documented in docs/reference/json.md."""

from __future__ import annotations

from pydantic import JsonValue

from specforge.cli.diff_report import Report
from specforge.planning.comparison.compatibility import Loading
from specforge.planning.comparison.curves import Curve, Curves
from specforge.planning.comparison.difference import FieldChange, StepChange, Value
from specforge.planning.comparison.outcomes import ScorePair


def as_json(report: Report) -> JsonValue:
    """Return the document."""
    a, b = report.paths
    training = report.outcomes.training
    before, after = (None, None) if training is None else training.estimates
    curves = report.outcomes.curves
    return {
        "format": 1,
        "a": str(a),
        "b": str(b),
        "same_plan": report.difference.same_plan,
        "fields": [_field(field) for field in report.difference.fields],
        "same_fields": report.same_fields,
        "sweeps_left_aside": [side for side, swept in zip(("a", "b"), report.swept, strict=True) if swept],
        "steps": [_step(step, report) for step in report.difference.steps],
        "estimates": {
            "a": None if before is None else before.model_dump(mode="json"),
            "b": None if after is None else after.model_dump(mode="json"),
        },
        "checkpoint": None if training is None else _loading(training.loading),
        "scores": [_score(score) for score in report.outcomes.scores],
        "validations": None if curves is None else _curves(curves, report),
    }


def _field(field: FieldChange) -> JsonValue:
    return {
        "path": list(field.path),
        "a": _value(field.before),
        "b": _value(field.after),
        "rekeys": list(field.rekeys),
        "effect": field.effect,
    }


def _value(value: Value | None) -> JsonValue:
    if value is None:
        return None
    place = None if value.origin is None else value.origin.place
    return {
        "value": value.value,
        "layer": None if value.origin is None else value.origin.layer,
        "source": None if value.origin is None else value.origin.source,
        "place": None if place is None else {"file": place.path, "line": place.line, "column": place.column},
    }


def _step(step: StepChange, report: Report) -> JsonValue:
    return {
        "id": step.id,
        "a": step.before,
        "b": step.after,
        "shared": step.shared,
        "state": report.states[step.id].value if step.id in report.states else None,
        "fields": [list(path) for path in step.fields],
    }


def _loading(loading: Loading) -> JsonValue:
    found = loading.fit
    return {
        "loads": loading.loads,
        "alike": found.alike,
        "reshaped": {one.name: {"a": list(one.before), "b": list(one.after)} for one in found.reshaped},
        "only_a": list(found.only_before),
        "only_b": list(found.only_after),
        "vocabulary": {role: {"a": old, "b": new} for role, (old, new) in loading.vocabulary.items()},
        "reshaped_by_vocabulary": loading.by_vocabulary,
        "causes": [list(field.path) for field in loading.causes],
        "same_vocabulary": loading.same_text,
    }


def _score(pair: ScorePair) -> JsonValue:
    before, after = pair.before, pair.after
    known = before or after
    return {
        "test": {"a": pair.test[0], "b": pair.test[1]},
        "metric": pair.metric,
        "a": None if before is None else before.value,
        "b": None if after is None else after.value,
        "signature": {
            "a": None if before is None else before.signature,
            "b": None if after is None else after.signature,
        },
        "higher_is_better": known is not None and known.higher_is_better,
        "difference": pair.difference,
        "p_value": pair.p_value,
        "better": pair.better,
        "remark": pair.problem or pair.remark,
    }


def _curves(curves: Curves, report: Report) -> JsonValue:
    return {
        "a": _curve(curves.before),
        "b": _curve(curves.after),
        "remarks": list(report.outcomes.remarks),
    }


def _curve(curve: Curve) -> JsonValue:
    return {
        "best_metric": curve.best_metric,
        "best_updates": curve.best_updates,
        "done": curve.done,
        "validations": [{"updates": one.updates, "figures": dict(one.figures)} for one in curve.validations],
    }
