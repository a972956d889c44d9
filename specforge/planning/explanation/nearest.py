"""The nearest earlier result of a step, and the smallest set of differences that gave it another key.

A difference in what another step made is followed into that step, by the keys in the manifests, down to the fields, files
and components that caused it. Where both outputs are there and equal, it is no cause: that is what early cut-off means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from pydantic import JsonValue, ValidationError

from specforge.foundation.canonical import canonical_json
from specforge.foundation.errors import CorruptStateError, SpecforgeError
from specforge.language.registry import config_class, load_registry
from specforge.language.spec import Spec, ValuePath
from specforge.planning.comparison.variation import value_at
from specforge.planning.declaration import declaration
from specforge.planning.keys import outputs_digest
from specforge.planning.material import (
    ComponentDifference,
    FieldDifference,
    Material,
    OwnDifference,
    differences,
    material_of_result,
    material_of_step,
)
from specforge.planning.plan import Plan, Step
from specforge.planning.states import Found, find_results
from specforge.planning.world import Manifest, Results
from specforge.plugin import TokenizerConfig


@dataclass(frozen=True, slots=True)
class NeedDifference:
    """Another result of a step above.

    Args:
        step: its id.
        before: key of the result that was read.
        after: its key in the plan.
        causes: why they differ; empty where the earlier result is gone.
        compared: whether the earlier result is still there to compare with.
        alike: whether both are there and came out equal, so that what reads them cannot tell.
    """

    step: str
    before: str
    after: str
    causes: tuple[Difference, ...]
    compared: bool
    alike: bool = False


_JOINED: Final = ("preprocess", "joined_dictionary")

Difference: TypeAlias = OwnDifference | NeedDifference
Cause: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """How a result came about, as far as its manifest says so.

    Args:
        key: what it is stored under.
        run: name of the run that made it.
        at: when, local time with its offset.
        host: on which host.
        seconds: how long it took.
        specforge: version of specforge.
        same_as: key of the result that it was found equal to, instead of being made.
    """

    key: str
    run: str | None
    at: str | None
    host: str | None
    seconds: float | None
    specforge: str | None
    same_as: str | None


@dataclass(frozen=True, slots=True)
class Nearest:
    """An earlier result with what sets it apart from a step."""

    made: Made
    manifest: Manifest
    differences: tuple[Difference, ...]

    @property
    def causes(self) -> tuple[Cause, ...]:
        """What differs, each once, however many steps it reaches."""
        return tuple(dict.fromkeys(_causes(self.differences)))


class Comparison:
    """Compares the steps of a plan with the results that are there.

    Args:
        spec: the spec.
        plan: its plan.
        results: the results.
    """

    def __init__(self, spec: Spec, plan: Plan, results: Results) -> None:
        self._spec = spec
        self._plan = plan
        self._results = results
        self._materials: dict[str, Material] = {}
        self._known: dict[tuple[str, str], tuple[Difference, ...]] = {}
        self.found: Mapping[str, Found] = find_results(plan.steps, results)

    def nearest(self, step: Step) -> Nearest | None:
        """Return the result of the step's kind with the fewest differences; of equal ones the run's own, then the newest."""
        others = [
            Nearest(made_by(key, manifest), manifest, self.differences(step, key, manifest))
            for key, manifest in self._results.manifests(step.kind)
            if key != step.key
        ]
        newest_first = sorted(others, key=lambda other: other.made.at or "", reverse=True)
        return min(newest_first, key=self._distance, default=None)

    def _distance(self, other: Nearest) -> tuple[int, bool, bool, bool]:
        cut_off = len(telling(other.differences)) < len(other.differences)  # its own key could not be got back
        return len(other.causes), not grown(other.differences, self._spec), cut_off, other.made.run != self._plan.name

    def differences(self, step: Step, key: str, manifest: Manifest) -> tuple[Difference, ...]:
        """Return what sets a step apart from a result of its kind.

        Args:
            step: a step of the plan.
            key: of the result.
            manifest: of the result.
        """
        if (step.id, key) not in self._known:
            before, after = _placed(material_of_result(manifest), step, self._spec), self._material(step)
            own = (_as_written(one, self._spec) for one in differences(before, after))
            telling_own = (one for one in own if not _follows_tokenizer(one, before, self._spec))
            self._known[step.id, key] = (*telling_own, *self._needs(step, manifest))
        return self._known[step.id, key]

    def _needs(self, step: Step, manifest: Manifest) -> Iterator[NeedDifference]:
        needs = manifest.get("needs")
        listed = needs.items() if isinstance(needs, dict) else []
        keys = {identifier.partition(".")[0]: str(key) for identifier, key in listed}
        for identifier in step.needs:
            need = self._plan.step(identifier)
            before = keys.get(need.kind)
            if before is None or before == need.key:  # a step that is new came with its component
                continue
            earlier = self._earlier(need, before)
            if earlier is None:
                yield NeedDifference(identifier, before, need.key, (), compared=False)
            else:
                causes = self.differences(need, before, earlier)
                alike = self._came_out_alike(identifier, earlier)
                yield NeedDifference(identifier, before, need.key, causes, compared=True, alike=alike)

    def _material(self, step: Step) -> Material:
        if step.id not in self._materials:
            self._materials[step.id] = _placed(material_of_step(step), step, self._spec)
        return self._materials[step.id]

    def _earlier(self, step: Step, key: str) -> Manifest | None:
        try:
            return self._results.manifest(step.kind, key)
        except CorruptStateError:  # the question is about another result
            return None

    def _came_out_alike(self, identifier: str, earlier: Manifest) -> bool:
        found = self.found.get(identifier)
        return found is not None and outputs_digest(found.manifest) == outputs_digest(earlier)


def made_by(key: str, manifest: Manifest) -> Made:
    """Return how a result came about."""
    made = manifest.get("made")
    facts = made if isinstance(made, dict) else {}
    seconds = facts.get("seconds")
    return Made(
        key,
        _text(facts.get("run")),
        _text(facts.get("at")),
        _text(facts.get("host")),
        float(seconds) if isinstance(seconds, int | float) else None,
        _text(facts.get("specforge")),
        _text(manifest.get("same_as")),
    )


def _text(value: JsonValue) -> str | None:
    return None if value is None else str(value)


def _causes(found: Iterable[Difference]) -> Iterator[Cause]:
    for difference in telling(found):
        match difference:
            case NeedDifference(causes=causes) if causes:
                yield from _causes(causes)
            case _:
                yield cause_of(difference)


def telling(found: Iterable[Difference]) -> tuple[Difference, ...]:
    """Return differences without those of steps above that came out alike all the same."""
    return tuple(one for one in found if not (isinstance(one, NeedDifference) and one.alike))


def cause_of(difference: Difference) -> Cause:
    """Return what tells a difference from others: the same one in several steps is one cause."""
    match difference:
        case NeedDifference(step=step):
            return "step", step
        case FieldDifference(path=path) | ComponentDifference(path=path):
            return "path", *map(str, path)
        case _:
            return "input", difference.role


def grown(found: Sequence[Difference], spec: Spec) -> tuple[str, ...]:
    """Return the fields of [train] that differ, where all that differs are fields that may grow."""
    names = [
        str(difference.path[1])
        for difference in telling(found)
        if isinstance(difference, FieldDifference)
        and difference.path[0] == "train"
        and declaration(difference.path, spec).marker.continues
    ]
    return tuple(names) if len(names) == len(telling(found)) else ()


def _as_written(difference: OwnDifference, spec: Spec) -> OwnDifference:
    """Return a difference with its values as the spec has them: a key writes 2.0 as 2, and a corpus as its first file."""
    if not isinstance(difference, FieldDifference):
        return difference
    if difference.path[:2] == ("data", "train") and len(difference.path) == len(("data", "train", 0)):
        return replace(difference, after=value_at(spec, (*difference.path, "path")))
    marker = declaration(difference.path, spec).marker
    if marker.has_neutral and difference.change != "changed":  # what a key leaves out has the neutral value
        before, after = difference.before, difference.after
        added = difference.change == "added"
        difference = replace(
            difference,
            change="changed",
            before=marker.neutral if added else before,
            after=after if added else marker.neutral,
        )
    written, before = value_at(spec, difference.path), difference.before
    if not isinstance(written, float) or written != difference.after:
        return difference
    return replace(difference, before=float(before) if type(before) is int else before, after=written)


def _follows_tokenizer(difference: OwnDifference, before: Material, spec: Spec) -> bool:
    """Return whether a difference is that of the joined dictionary, which both times followed from the tokenizer."""
    if not isinstance(difference, FieldDifference) or difference.path != _JOINED:
        return False
    identity = before.components.get(("tokenizer",))
    if spec.preprocess.joined_dictionary is not None or identity is None:
        return False
    values: JsonValue = {
        str(path[1]): value for path, value in before.config.items() if path[0] == "tokenizer" and path[1:]
    }
    try:
        registered = load_registry().find("tokenizer", identity.partition("@")[0]).registered
        tokenizer = config_class(registered).model_validate_json(canonical_json(values))
    except (SpecforgeError, ValidationError):  # of a plugin that is gone, or of another version of it
        return False
    return isinstance(tokenizer, TokenizerConfig) and tokenizer.joined() == difference.before


def _placed(material: Material, step: Step, spec: Spec) -> Material:
    """Return material with its fields where the spec has them: a step of a test knows that one test alone."""
    test = step.id.partition(".")[2]
    if not test:
        return material
    held_out = [number for number, corpus in enumerate(spec.train_corpora) if (corpus.hold_out or {}).get("test")]

    def place(path: ValuePath) -> ValuePath:
        match path:
            case ("data", "test", *rest):
                return "data", "test", test, *rest
            case ("data", "train", int(nth), *rest) if nth < len(held_out):
                return "data", "train", held_out[nth], *rest
            case _:
                return path

    return replace(material, config={place(path): value for path, value in material.config.items()})
