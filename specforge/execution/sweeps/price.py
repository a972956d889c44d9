"""What a sweep costs before it starts: the trainings that are left, each estimated once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from specforge.execution.questions.estimate import estimate
from specforge.execution.signals import StopRequest
from specforge.foundation.canonical import canonical_json
from specforge.foundation.errors import SpecforgeError, noted
from specforge.language.spec import Spec
from specforge.planning.estimates import Estimates
from specforge.planning.plan import Plan, State, Step
from specforge.storage.store import Store

_BESIDE_THE_PRICE: Final = frozenset({"seed", "criterion", "optimizer", "lr_scheduler"})
"""Settings of train that hardly change what an update costs; trainings that differ in nothing else are estimated as one."""


@dataclass(frozen=True, slots=True)
class Price:
    """What is left to train in a sweep.

    Args:
        trainings: how many trainings are left.
        flop: floating-point operations of those for which they are known.
        unknown: trainings whose operations nobody knows: they end by patience or learning rate, or cannot be counted.
        seconds: expected time of those for which this host has a pace; None where it has none.
        untimed: trainings of which no time is known.
        approximate: whether a figure rests on a guess or a sample.
    """

    trainings: int = 0
    flop: float = 0.0
    unknown: int = 0
    seconds: float | None = None
    untimed: int = 0
    approximate: bool = False


def price(points: Sequence[tuple[Spec, Plan]], store: Store, stop: StopRequest) -> Price:
    """Return what is left to train.

    Args:
        points: spec and plan of each point.
        store: where results are.
        stop: requests to stop.

    Raises:
        SpecforgeError: the model of a point cannot be built.
    """
    left: dict[str, tuple[Spec, Plan, Step]] = {}
    for spec, plan in points:
        train = plan.step("train")
        if train.state is not State.REUSE:
            left.setdefault(train.key, (spec, plan, train))
    known: dict[bytes, Estimates] = {}
    total = Price()
    for spec, plan, train in left.values():
        alike = _likeness(plan, train)
        if alike not in known:
            known[alike] = _estimated(spec, plan, store, stop)
        total = _with(total, known[alike])
    return total


def _likeness(plan: Plan, train: Step) -> bytes:
    """Return a text that trainings share whose updates cost the same; one that goes on is like no other."""
    settings: JsonValue = {name: value for name, value in train.settings.items() if name not in _BESIDE_THE_PRICE}
    went_on = train.key if train.state is State.RESUME else None
    return canonical_json([settings, plan.step("preprocess").key, went_on])


def _estimated(spec: Spec, plan: Plan, store: Store, stop: StopRequest) -> Estimates:
    try:
        return estimate(spec, plan, store, stop)
    except SpecforgeError as error:
        if spec.point is None:
            raise
        raise noted(error, f"at point {spec.point.number} of the sweep") from error


def _with(total: Price, one: Estimates) -> Price:
    """Return a price with one more training in it."""
    is_known = one.flop_per_update is not None and one.updates is not None
    flop = (one.flop_per_update or 0.0) * max((one.updates or 0) - one.updates_done, 0) if is_known else 0.0
    figures = {"flop_per_update", "updates", "seconds"}
    return Price(
        trainings=total.trainings + 1,
        flop=total.flop + flop,
        unknown=total.unknown + (not is_known),
        seconds=total.seconds if one.seconds is None else (total.seconds or 0.0) + one.seconds,
        untimed=total.untimed + (one.seconds is None),
        approximate=total.approximate or bool(figures & set(one.approximate)),
    )
