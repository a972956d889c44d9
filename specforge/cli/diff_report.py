"""What `diff` finds out, before it is printed one way or the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from specforge.cli.spec_arguments import Experiment
from specforge.execution.stored_outcomes import result_folders, training_curve
from specforge.planning.comparison.compatibility import same_validation_text, same_vocabulary
from specforge.planning.comparison.curves import Curves, side_by_side
from specforge.planning.comparison.difference import Compared, Difference, compare
from specforge.planning.comparison.outcomes import ScorePair
from specforge.planning.comparison.variation import Variant, unchanged
from specforge.planning.inputs import inspect_inputs
from specforge.planning.plan import State, Step
from specforge.planning.states import find_results

if TYPE_CHECKING:
    from specforge.execution.signals import StopRequest
    from specforge.planning.comparison.compatibility import Loading
    from specforge.planning.estimates import Estimates
    from specforge.planning.world import Manifest


@dataclass(frozen=True, slots=True)
class Training:
    """The two models.

    Args:
        estimates: what each plan comes to.
        loading: whether a checkpoint of the first loads in the second.
    """

    estimates: tuple[Estimates, Estimates]
    loading: Loading


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What has come of the two.

    Args:
        training: None where both train the same, and where no estimates are wanted.
        scores: every score that either has.
        curves: their validations; None where one has none, and where both train the same.
        remarks: what of the validations may not be compared, and why.
    """

    training: Training | None = None
    scores: tuple[ScorePair, ...] = ()
    curves: Curves | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All that two specs differ in.

    Args:
        paths: the spec files, as typed.
        difference: fields and steps.
        same_fields: how many values are alike.
        swept: which of the two declare a sweep, which is left aside.
        states: the states of the steps of the second spec.
        outcomes: nothing for equal plans.
    """

    paths: tuple[Path, Path]
    difference: Difference
    same_fields: int
    swept: tuple[bool, bool]
    states: Mapping[str, State]
    outcomes: Outcomes

    @property
    def labels(self) -> tuple[str, str]:
        """Return what to call the two specs: by their files' names where these tell them apart."""
        a, b = self.paths
        if a.name != b.name:
            return a.name, b.name
        return (str(a), str(b)) if a != b else ("A", "B")


def report(a: Experiment, b: Experiment, paths: tuple[Path, Path], *, estimates: bool) -> Report:
    """Compare two specs in all respects.

    Args:
        a: the first.
        b: the second.
        paths: their files, as typed.
        estimates: whether to have workers build their models.

    Raises:
        SpecforgeError: a model cannot be built, or a result is damaged.
    """
    sides = Sides(a, b)
    difference = compare(sides.before, sides.after)
    return Report(
        paths,
        difference,
        unchanged(a.spec, b.spec),
        (a.spec.sweep is not None, b.spec.sweep is not None),
        {step.id: step.state for step in b.plan.steps},
        Outcomes() if difference.same_plan else _outcomes(sides, difference, estimates=estimates),
    )


class Sides:
    """The two experiments.

    Args:
        a: the first.
        b: the second.
    """

    def __init__(self, a: Experiment, b: Experiment) -> None:
        self.a = a
        self.b = b
        self.before, self.after = (
            Compared(Variant(side.spec, inspect_inputs(side.spec, side.digests)), side.plan.steps) for side in (a, b)
        )

    def step(self, kind: str) -> tuple[Step, Step]:
        """Return the step of a kind in both."""
        return self.a.plan.step(kind), self.b.plan.step(kind)

    def prepared(self) -> tuple[Manifest | None, Manifest | None]:
        """Return the manifests of both results of preprocess, as far as they are there."""
        found = (find_results(side.plan.steps, side.store).get("preprocess") for side in (self.a, self.b))
        before, after = (None if result is None else result.manifest for result in found)
        return before, after

    def train_alike(self) -> bool:
        """Return whether both have the same training."""
        before, after = self.step("train")
        return before.key == after.key


def _outcomes(sides: Sides, difference: Difference, *, estimates: bool) -> Outcomes:
    curves = None if sides.train_alike() else _curves(sides)
    remarks = () if curves is None else tuple(_remarks(sides))
    if sys.platform == "win32":  # no workers, and no results that they could have made
        return Outcomes(curves=curves, remarks=remarks)
    from specforge.execution.signals import stop_requests

    with stop_requests() as stop:
        training = _training(sides, difference, stop) if estimates and not sides.train_alike() else None
        return Outcomes(training, _scores(sides, stop), curves, remarks)


def _training(sides: Sides, difference: Difference, stop: StopRequest) -> Training:
    from concurrent.futures import ThreadPoolExecutor

    from specforge.execution.questions.checkpoint_loading import LoadingSide, loading
    from specforge.execution.questions.estimate import estimate

    a, b = sides.a, sides.b
    with ThreadPoolExecutor(2) as pool:  # most of the time of each is spent waiting for a worker
        before, after = pool.map(lambda side: estimate(side.spec, side.plan, side.store, stop), (a, b))
    found = loading(
        LoadingSide(sides.before, before),
        LoadingSide(sides.after, after),
        difference.fields,
        stop,
        same_text=_same_text(sides),
    )
    return Training((before, after), found)


def _same_text(sides: Sides) -> bool | None:
    before, after = sides.step("preprocess")
    return True if before.key == after.key else same_vocabulary(*sides.prepared())


def _scores(sides: Sides, stop: StopRequest) -> tuple[ScorePair, ...]:
    from specforge.execution.questions.score_comparison import ScoredSide, compare_scores

    before, after = (
        ScoredSide(side.spec, side.plan, result_folders(side.plan, side.store)) for side in (sides.a, sides.b)
    )
    return tuple(compare_scores(before, after, stop))


def _curves(sides: Sides) -> Curves | None:
    found = [
        training_curve(side.plan, side.store, result_folders(side.plan, side.store)) for side in (sides.a, sides.b)
    ]
    before, after = found
    return None if before is None or after is None else side_by_side(before, after)


def _remarks(sides: Sides) -> Iterator[str]:
    """Yield what of the validations may not be compared."""
    first, second = sides.prepared()
    before, after = sides.step("preprocess")
    if before.key != after.key and same_validation_text(first, second) is not True:
        yield "the validation data differ: no figure can be compared"
        return
    if _same_text(sides) is not True:
        yield "the vocabularies differ: loss and ppl, which are means over their pieces, cannot be compared"
        return
    one, other = ((step.config.get("criterion"), step.components.get("criterion")) for step in sides.step("train"))
    if one != other:
        yield "the criterions differ: compare ppl, not loss"
