"""The difference of two specs by meaning: which fields differ, and which steps each difference re-keys.

What a difference re-keys is found by trying it: the first spec gets this one value of the second, and its steps are keyed
again. Nothing here knows which step reads which field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from pydantic import JsonValue

from specforge.language.spec import CorpusFiles, Origin, Spec, ValuePath
from specforge.planning.compile import keyed_steps
from specforge.planning.inputs import Inputs
from specforge.planning.plan import InputFile, Step
from specforge.planning.steps import KINDS

_SECTIONS: Final = ("preprocess", "train", "generate", "run")
_METRICS: Final[ValuePath] = ("generate", "metrics")

Effect: TypeAlias = Literal["rekeys", "continues", "nothing"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One of the two specs.

    Args:
        spec: the spec.
        inputs: its data files.
        steps: its steps with their keys.
    """

    spec: Spec
    inputs: Inputs
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """What a field is in one of the specs.

    Args:
        value: as JSON; for a corpus its path, for a component its name.
        origin: where it was set.
    """

    value: JsonValue
    origin: Origin | None


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that differs.

    Args:
        path: where it is.
        before: what it is in the first spec; None where it has no such field.
        after: what it is in the second.
        rekeys: ids of the steps that get another key by this difference alone, appear or disappear.
        effect: `continues` when training only goes on longer, `nothing` when no key moves.
    """

    path: ValuePath
    before: Value | None
    after: Value | None
    rekeys: tuple[str, ...]
    effect: Effect


@dataclass(frozen=True, slots=True)
class StepChange:
    """A step of either spec.

    Args:
        id: its id.
        before: its key in the first spec, or None.
        after: its key in the second, or None.
        fields: the differences that re-key it and none of its needs: why it runs, unless it follows its needs.
    """

    id: str
    before: str | None
    after: str | None
    fields: tuple[ValuePath, ...]

    @property
    def shared(self) -> bool:
        """Whether both specs have the step under the same key."""
        return self.before == self.after


@dataclass(frozen=True, slots=True)
class Difference:
    """All differences.

    Args:
        fields: in the order of the tree.
        steps: in the order of running.
    """

    fields: tuple[FieldChange, ...]
    steps: tuple[StepChange, ...]

    @property
    def same_plan(self) -> bool:
        """Whether both specs have the same steps under the same keys."""
        return all(step.shared for step in self.steps)


def compare(before: Compared, after: Compared) -> Difference:
    """Compare two specs."""
    fields = tuple(_field_change(path, before, after) for path in _changed_paths(before.spec, after.spec))
    return Difference(fields, tuple(_step_changes(before.steps, after.steps, fields)))


def _step_changes(
    before: Sequence[Step], after: Sequence[Step], fields: Sequence[FieldChange]
) -> Iterator[StepChange]:
    first, second = ({step.id: step for step in steps} for steps in (before, after))
    for identifier in sorted({**first, **second}, key=_running_order):
        old, new = first.get(identifier), second.get(identifier)
        needs = set((new or old or before[0]).needs)
        direct = (field.path for field in fields if identifier in field.rekeys and needs.isdisjoint(field.rekeys))
        yield StepChange(identifier, old and old.key, new and new.key, tuple(direct))


def _running_order(identifier: str) -> tuple[int, str]:
    kind, _, test = identifier.partition(".")
    return [str(name) for name in KINDS].index(kind), test


def _changed_paths(before: Spec, after: Spec) -> list[ValuePath]:
    """Return the smallest units that differ, each once, in the order of the tree."""
    leaves = [path for path in {**before.origins, **after.origins} if _at(before, path) != _at(after, path)]
    units = dict.fromkeys(_unit(path, before, after) for path in leaves if path != ("data", "root"))
    return list(units)


def _unit(path: ValuePath, before: Spec, after: Spec) -> ValuePath:
    """Return what changes together with a leaf: a corpus of another kind or a component of another name is one change."""
    if path[:2] == _METRICS and _names(before, _METRICS) != _names(after, _METRICS):
        return _METRICS
    table = next((path[:length] for length in range(len(path), 0, -1) if _is_table(path[:length], before, after)), None)
    if table is not None:
        old, new = before.parts.get(table), after.parts.get(table)
        same = old is not None and new is not None and old.registered.identity == new.registered.identity
        return path if same and path[len(table)] != "use" else table
    if path[0] == "data":
        return _data_unit(path, before, after)
    return path


def _is_table(path: ValuePath, before: Spec, after: Spec) -> bool:
    return path in before.parts or path in after.parts


def _names(spec: Spec, table: ValuePath) -> list[str]:
    return [part.registered.identity for path, part in spec.parts.items() if path[: len(table)] == table]


def _data_unit(path: ValuePath, before: Spec, after: Spec) -> ValuePath:
    if path[1] == "train" and len(before.train_corpora) != len(after.train_corpora):
        return path[:2]
    corpus = path[: 2 if path[1] == "valid" else 3]
    old, new = _corpus(before, corpus), _corpus(after, corpus)
    return path[: len(corpus) + 1] if old and new and old.format == new.format else corpus


def _corpus(spec: Spec, path: ValuePath) -> CorpusFiles | None:
    match path:
        case ("data", "train", int(number)):
            return spec.train_corpora[number]
        case ("data", "valid"):
            return spec.valid_corpus
        case ("data", "test", str(name)):
            return spec.test_corpora.get(name)
        case _:
            return None


def _at(spec: Spec, path: ValuePath) -> JsonValue:
    """Return a value of the resolved tree; None for what it does not have (TOML has no null to confuse it with)."""
    value: JsonValue = dict(spec.tree)
    for name in path:
        if isinstance(value, dict):
            value = value.get(str(name))
        elif isinstance(value, list) and isinstance(name, int) and name < len(value):
            value = value[name]
        else:
            return None
    return value


def _field_change(path: ValuePath, before: Compared, after: Compared) -> FieldChange:
    keys = {step.id: step.key for step in before.steps}
    varied = _varied_steps(path, before, after)
    moved = {step.id for step in varied if keys.get(step.id) != step.key} | keys.keys() - {step.id for step in varied}
    return FieldChange(
        path,
        _value(before.spec, path),
        _value(after.spec, path),
        tuple(sorted(moved, key=_running_order)),
        _effect(moved, before.steps, varied),
    )


def _effect(moved: set[str], before: Sequence[Step], varied: Sequence[Step]) -> Effect:
    if not moved:
        return "nothing"
    goes_on = "train" in moved and _trajectory(before) == _trajectory(varied)
    return "continues" if goes_on else "rekeys"


def _trajectory(steps: Sequence[Step]) -> str | None:
    return next((step.trajectory for step in steps if step.kind == "train"), None)


def _value(spec: Spec, path: ValuePath) -> Value | None:
    shown, origins = _at(spec, path), spec.origins
    for head in ("use", "path"):
        if isinstance(shown, dict) and head in shown:
            return Value(shown[head], _origin(spec, (*path, head)))
    if isinstance(shown, list) and any(isinstance(item, dict) for item in shown):
        heads = [item.get("use", item.get("path")) for item in shown if isinstance(item, dict)]
        first = next((known for known in origins if known[: len(path)] == path), path)
        return Value(heads, _origin(spec, first))
    known = path in origins or any(leaf[: len(path)] == path for leaf in origins)
    return Value(shown, _origin(spec, path)) if known else None


def _origin(spec: Spec, path: ValuePath) -> Origin | None:
    history = spec.origins.get(path) or next((spec.origins[leaf] for leaf in spec.origins if leaf[: len(path)] == path), ())
    return history[-1] if history else None


def _varied_steps(path: ValuePath, before: Compared, after: Compared) -> tuple[Step, ...]:
    """Return the steps of the first spec with one value of the second."""
    if path == ("task",):  # another task reads other columns: nothing of the first spec fits it
        return ()
    spec, inputs = _varied(path, before, after)
    return keyed_steps(spec, inputs)


def _varied(path: ValuePath, before: Compared, after: Compared) -> tuple[Spec, Inputs]:
    old, new = before.spec, after.spec
    if path[0] == "data":
        return _with_data(path, before, after)
    if path[0] == "seed":
        return replace(old, seed=new.seed), before.inputs
    if path[0] == "name":
        return replace(old, name=new.name), before.inputs
    table = next((path[:length] for length in range(len(path), 0, -1) if _is_table(path[:length], old, new)), None)
    if path == _METRICS or table is not None:
        return replace(old, parts=_with_part(table or _METRICS, path, old, new)), before.inputs
    section, name = str(path[0]), str(path[1])
    assert section in _SECTIONS
    changed = getattr(old, section).model_copy(update={name: getattr(getattr(new, section), name)})
    return replace(old, **{section: changed}), before.inputs
