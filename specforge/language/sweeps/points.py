"""The points of a sweep: each a spec of its own, whose values lie above those of the spec and below `--set`.

A mistake that several points share is told once, at the value that makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from specforge.foundation.canonical import canonical_json
from specforge.foundation.errors import WrongInputError
from specforge.foundation.terminal import printable
from specforge.language.merge import Merged, merge
from specforge.language.messages.diagnostics import Diagnostic, Label, SpecError, in_order
from specforge.language.naming import shortened
from specforge.language.spec import Origin, Point, Spec, Sweep, Swept
from specforge.language.sweeps.draft import Choice, PointDraft, SweepDraft
from specforge.language.sweeps.names import field_labels, point_name, typed_name
from specforge.language.sweeps.point_layer import point_layer
from specforge.language.sweeps.sweep import SWEEP, read_sweep
from specforge.language.sweeps.table import sweep_table
from specforge.language.text.toml_text import toml_value

if TYPE_CHECKING:
    from specforge.language.layers import Layer
    from specforge.language.spec import ValuePath
    from specforge.language.text.spans import SourceText

_ENOUGH: Final = 50  # different mistakes of points: the others may wait until these are mended
_MOST_NAMED: Final = 3  # points that a note lists

_Typed: TypeAlias = "tuple[frozenset[ValuePath], frozenset[ValuePath]]"


@dataclass(frozen=True, slots=True)
class Check:
    """How a spec is checked, swept or not.

    Args:
        check: from merged layers to a spec; raises SpecError.
        rank: place of a source among the others, for the order of diagnostics.
        name: what the spec is called if it does not say so.
    """

    check: Callable[[Merged], Spec]
    rank: Callable[[SourceText], int]
    name: str


def load_points(whole: Merged, how: Check) -> tuple[Spec, tuple[Spec, ...]]:
    """Return a spec that declares a sweep, and the spec of each point.

    Args:
        whole: all layers of the spec.
        how: how to check it.

    Raises:
        SpecError: everything that is wrong with the spec, the sweep, or a point.
    """
    base = _set_aside(whole)
    draft = read_sweep(whole, base)
    spec, wrong = _attempt(base, how)
    points = _named(draft, base, how)
    layers = {choice: point_layer(choice) for one in draft.points for choice in one.choices}
    found: dict[Diagnostic, list[int]] = {}
    loaded: list[tuple[PointDraft, Spec]] = []
    warned: dict[Diagnostic, list[int]] = {}
    for one, point in zip(draft.points, points, strict=True):  # until there is enough to mend
        checked, wrong_here = _attempt(_merged(whole, one, layers), how)
        for diagnostic in wrong_here:
            found.setdefault(diagnostic, []).append(one.number)
        if len(found) > _ENOUGH:
            break
        if checked is not None:
            loaded.append((one, _as_point(checked, point, draft)))
            for diagnostic in checked.warnings:
                warned.setdefault(diagnostic, []).append(one.number)
    diagnostics = [
        *wrong,
        *draft.diagnostics,
        *(found if len(found) > _ENOUGH else _at_points(found, wrong, draft)),
        *([] if draft.diagnostics else [*_clashes(draft, points), *_equal(loaded)]),
    ]
    if diagnostics or spec is None:
        raise SpecError(in_order(list(dict.fromkeys(diagnostics)), how.rank))
    sweep = Sweep(_swept(draft), tuple(points), sweep_table(draft, base))
    warnings = in_order([*spec.warnings, *_at_points(warned, spec.warnings, draft)], how.rank)
    return replace(spec, sweep=sweep, warnings=warnings), tuple(checked for _, checked in loaded)


def load_point(whole: Merged, number: int, how: Check) -> Spec:
    """Return the spec of one point; the others are not checked.

    Args:
        whole: all layers of the spec.
        number: the point, from 1.
        how: how to check it.

    Raises:
        WrongInputError: SF128, there is no such point.
        SpecError: everything that is wrong with the sweep as a whole or with this point.
    """
    if SWEEP not in whole.tree:
        _refuse(f"there is no point {number}: the spec has no sweep", "leave out --point")
    base = _set_aside(whole)
    draft = read_sweep(whole, base)
    points = _named(draft, base, how)
    diagnostics = [*draft.diagnostics, *_clashes(draft, points)]
    if diagnostics:
        raise SpecError(in_order(diagnostics, how.rank))
    if not 1 <= number <= len(points):
        count = len(points)
        _refuse(f"there is no point {number}", f"the sweep has {count} point{'s' * (count != 1)}, counted from 1")
    one = draft.points[number - 1]
    return _as_point(
        how.check(_merged(whole, one, {choice: point_layer(choice) for choice in one.choices})),
        points[number - 1],
        draft,
    )


def _refuse(message: str, help_text: str) -> NoReturn:
    raise WrongInputError("SF128", message, help=help_text)


def _attempt(merged: Merged, how: Check) -> tuple[Spec | None, tuple[Diagnostic, ...]]:
    try:
        return how.check(merged), ()
    except SpecError as error:
        return None, error.diagnostics


def _set_aside(whole: Merged) -> Merged:
    """Return what a spec says besides its sweep."""
    return Merged(
        {key: value for key, value in whole.tree.items() if key != SWEEP},
        {path: settings for path, settings in whole.settings.items() if path[0] != SWEEP},
        whole.layers,
        whole.diagnostics,
    )


def _merged(whole: Merged, point: PointDraft, layers: Mapping[Choice, Layer]) -> Merged:
    """Return what a spec says at a point."""
    # A component is named before its fields are: another `use` drops what was said of the former component.
    choices = sorted(point.choices, key=lambda choice: choice.field.path[-1] != "use")
    files = [layer for layer in whole.layers if layer.source.layer == "spec"]
    above = [layer for layer in whole.layers if layer.source.layer != "spec"]
    return _set_aside(merge([*files, *(layers[choice] for choice in choices), *above]))


def _named(draft: SweepDraft, base: Merged, how: Check) -> list[Point]:
    name = base.at(("name",))
    start = name if isinstance(name, str) else how.name
    labels = field_labels([field.path for field, _ in draft.fields])
    points = []
    for one in draft.points:
        values = {choice.field.path: choice.value for choice in one.choices}
        called = point_name(start, values, labels) if one.label is None else shortened(f"{start}.{one.label}")
        points.append(Point(one.number, called, values))
    return points


def _as_point(spec: Spec, point: Point, draft: SweepDraft) -> Spec:
    choices = draft.points[point.number - 1].choices
    place = choices[0].label("").place if choices else None
    origin = Origin("spec", point.name, place, f"point {point.number} of the sweep")
    origins = {**spec.origins, ("name",): (*spec.origins["name",], origin)}
    return replace(spec, name=point.name, tree={**spec.tree, "name": point.name}, origins=origins, point=point)


def _swept(draft: SweepDraft) -> tuple[Swept, ...]:
    return tuple(Swept(field.path, tuple(values), field.layer.label(field.key).place) for field, values in draft.fields)


def _at_points(
    found: Mapping[Diagnostic, Sequence[int]], known: Sequence[Diagnostic], draft: SweepDraft
) -> Iterator[Diagnostic]:
    """Yield diagnostics of points, each once, with the points that have it unless its places say so."""
    for diagnostic, numbers in found.items():
        if diagnostic in known:
            continue
        is_clear = len(numbers) == len(draft.points) or numbers == _underlined_at(diagnostic, draft)
        yield diagnostic if is_clear else replace(diagnostic, notes=(*diagnostic.notes, _points_note(numbers, draft)))


def _underlined_at(diagnostic: Diagnostic, draft: SweepDraft) -> list[int]:
    """Return the numbers of the points that have all the values of the sweep that a diagnostic underlines."""
    choices = list(dict.fromkeys(choice for point in draft.points for choice in point.choices))
    values = {choice for choice in choices if _is_in(diagnostic, choice.label(""))}
    swept = list(dict.fromkeys(choice.field for choice in choices))
    fields = {field for field in swept if _is_in(diagnostic, field.label(""))}
    return [
        point.number
        for point in draft.points
        if values <= set(point.choices) and fields <= {choice.field for choice in point.choices}
    ]


def _is_in(diagnostic: Diagnostic, place: Label) -> bool:
    """Return whether a label of a diagnostic is at a place, or in it."""
    return any(
        label.source is place.source
        and label.span is not None
        and place.span is not None
        and place.span.start <= label.span.start <= label.span.end <= place.span.end
        for label in diagnostic.labels
    )


def _points_note(numbers: Sequence[int], draft: SweepDraft) -> str:
    """Say at which points something is wrong: by the values that only these have, else by their numbers."""
    points = [draft.points[number - 1] for number in numbers]
    shared = [choice for choice in points[0].choices if all(choice in point.choices for point in points)]
    telling = [choice for choice in shared if any(choice not in point.choices for point in draft.points)]
    count = f"{len(numbers):,} of {len(draft.points):,} points"
    if telling and len(points) == sum(all(choice in point.choices for choice in telling) for point in draft.points):
        values = " and ".join(f"{typed_name(one.field.path)} = {printable(toml_value(one.value))}" for one in telling)
        return f"where {values}, at {count} of the sweep"
    named = ", ".join(map(str, numbers[:_MOST_NAMED]))
    more = f" and {len(numbers) - _MOST_NAMED:,} more" if len(numbers) > _MOST_NAMED else ""
    return f"at {count} of the sweep: {named}{more}"


def _clashes(draft: SweepDraft, points: Sequence[Point]) -> Iterator[Diagnostic]:
    """Yield the pairs of points that would have one name, those of the same two values once."""
    first: dict[str, PointDraft] = {}
    told: set[_Typed] = set()
    for one, point in zip(draft.points, points, strict=True):
        earlier = first.setdefault(point.name.casefold(), one)  # some file systems take both for one folder
        if earlier is one or _is_told(told, earlier, one):
            continue
        if _values(earlier) == _values(one):
            yield _pair("SF126", "two points have the same values", earlier, one)
        else:
            message = f"points {earlier.number} and {one.number} would both be called `{point.name}`"
            if points[earlier.number - 1].name != point.name:
                message += ", but for the case of letters"
            help_text = "write the points as [[sweep.case]], each with a `name` of its own"
            yield _pair("SF127", message, earlier, one, help_text)


def _equal(loaded: Sequence[tuple[PointDraft, Spec]]) -> Iterator[Diagnostic]:
    """Yield the pairs of points that are the same experiment although their values are written otherwise."""
    first: dict[bytes, PointDraft] = {}
    told: set[_Typed] = set()
    for one, spec in loaded:
        tree = {key: value for key, value in spec.tree.items() if key != "name"}
        earlier = first.setdefault(canonical_json(tree), one)
        if earlier is not one and _values(earlier) != _values(one) and not _is_told(told, earlier, one):
            message = f"points {earlier.number} and {one.number} are the same experiment"
            yield _pair("SF126", message, earlier, one, "a value that changes nothing makes no point of its own")


def _is_told(told: set[_Typed], one: PointDraft, other: PointDraft) -> bool:
    """Return whether a pair that differs in these places has been told; take note of it."""
    here = frozenset(choice.typed for choice in one.choices)
    there = frozenset(choice.typed for choice in other.choices)
    different = (here - there, there - here)
    is_known = different in told
    told.add(different)
    return is_known


def _values(point: PointDraft) -> dict[ValuePath, bytes]:
    return {choice.field.path: canonical_json(choice.value) for choice in point.choices}


def _pair(code: str, message: str, one: PointDraft, other: PointDraft, help_text: str | None = None) -> Diagnostic:
    """Return a diagnostic on two points, at the first values in which they are typed differently."""
    pairs = [
        (choice, before)
        for choice in other.choices
        for before in one.choices
        if choice.field.path == before.field.path and choice.typed != before.typed
    ]
    choice, before = pairs[0] if pairs else (other.choices[0], one.choices[0])
    labels = (choice.label(f"point {other.number}"), before.label(f"point {one.number}", primary=False))
    return Diagnostic(code, message, labels, help=help_text)
