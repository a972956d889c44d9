"""`test SPEC lr_scheduler`: the learning rate of telling updates. Free of torch unless the epochs matter."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Final

from specforge.execution.job import Job
from specforge.execution.questions.text_findings import DataSource
from specforge.execution.questions.training_findings import Plateau, RatePoint, SchedulerFindings
from specforge.foundation.errors import StepFailedError
from specforge.foundation.events import Reporter
from specforge.language.schema.train import TrainSection
from specforge.language.spec import Registered
from specforge.plugin import OptimizerConfig, Progress, Schedule, Validated
from specforge.steps.parts import configured, make_schedule
from specforge.steps.trial.blame import blame, breach, title

if TYPE_CHECKING:
    from specforge.steps.trial.workbench import Workbench

_EPOCHS: Final = (2, 3, 10, 100, 10_000)
"""Epochs that are tried to find out whether a schedule looks at them."""

_VALIDATIONS: Final = 100
"""The most equal validations that are tried to find out whether a schedule looks at them."""

_PLACES: Final = 4_000
"""Updates of the budget at which the rate is asked for."""


def try_lr_scheduler(
    job: Job, scratch: Path, reporter: Reporter, warnings: list[str]
) -> tuple[SchedulerFindings, DataSource | None]:
    """Try the schedule; data are read only where its budget is in epochs or its rates depend on them.

    Raises:
        StepFailedError: SF142, it raised; SF143, a rate is no number or is negative.
        WrongInputError: as `specforge.steps.trial.sample.prepare_data`.
    """
    registered, _ = configured("lr_scheduler", job.settings["lr_scheduler"])
    _, optimizer = configured("optimizer", job.settings["optimizer"])
    assert isinstance(optimizer, OptimizerConfig)
    with blame(registered, "where it is built"):
        schedule = make_schedule(job.settings["lr_scheduler"], optimizer.lr)
    train = TrainSection.model_validate(job.settings["train"])
    per_epoch: float | None = None
    source = None
    if train.max_updates is None or _looks_at_epochs(schedule, train.max_updates, registered):
        from specforge.steps.trial.workbench import Workbench  # imports torch

        bench = Workbench(job, scratch, reporter)
        per_epoch = _updates_per_epoch(bench)
        source = bench.source
    curve = _Curve(schedule, registered, _budget(train, per_epoch), train.max_updates, per_epoch)
    found = SchedulerFindings(
        updates=curve.updates,
        peak=optimizer.lr,
        highest=max(curve.rates),
        points=list(curve.points()),
        stops=None if train.stop_min_lr is None else curve.first_below(train.stop_min_lr),
        plateau=curve.plateau(),
    )
    if max(curve.rates) == 0.0:
        warnings.append("the learning rate is 0 throughout: nothing is learned")
    elif curve.highest == curve.updates and curve.rates[0] < curve.rates[-1]:
        warnings.append("the learning rate still rises at the end of the budget")
    if found.stops is not None and found.stops <= curve.updates:
        warnings.append(f"`train.stop_min_lr` ends training after {found.stops - 1:,} updates, before its budget")
    return found, source


def _budget(train: TrainSection, per_epoch: float | None) -> int:
    limits = [] if train.max_updates is None else [train.max_updates]
    if train.max_epochs is not None and per_epoch is not None:
        limits.append(max(1, round(train.max_epochs * per_epoch)))
    return min(limits)


def _looks_at_epochs(schedule: Schedule, max_updates: int, registered: Registered) -> bool:
    places = sorted({0, max_updates // 4, max_updates // 2, max_updates - 1})
    with blame(registered, "where it is asked for a rate"):
        return any(
            schedule(Progress(place, epoch, max_updates)) != schedule(Progress(place, 1, max_updates))
            for place in places
            for epoch in _EPOCHS
        )


def _updates_per_epoch(bench: Workbench) -> float:
    """Return the updates of an epoch; those of a sample are scaled to the lines of the whole text."""
    updates = bench.plan().count(epoch=1)
    source = bench.source
    assert source is not None
    return updates if source.whole or not source.rows else updates * (source.lines or source.rows) / source.rows


class _Curve:
    """The rates over the budget, at places that are close enough to see where they turn."""

    def __init__(
        self, schedule: Schedule, registered: Registered, updates: int, max_updates: int | None, per_epoch: float | None
    ) -> None:
        self.updates = updates
        self._schedule = schedule
        self._registered = registered
        self._max_updates = max_updates
        self._per_epoch = per_epoch
        step = max(1, updates // _PLACES)
        self._places: list[int] = sorted(
            {*range(0, updates, step), updates - 1}
        )  # updates done before the one that is asked for
        self.rates = [self._rate(place) for place in self._places]
        for place, rate in zip(self._places, self.rates, strict=True):
            if not isfinite(rate):
                raise StepFailedError("SF633", f"{title(registered)} gives update {place + 1:,} a rate of {rate}")
            if rate < 0:
                raise breach(registered, f"gives update {place + 1:,} a rate of {rate:.3g}", "a rate is at least 0")

    @property
    def highest(self) -> int:
        """The first update with the largest rate, from 1."""
        return self._places[self.rates.index(max(self.rates))] + 1

    def points(self) -> Iterator[RatePoint]:
        """Yield telling updates in order, each once."""
        named: dict[int, list[str]] = {}
        for index, what in self._telling():
            named.setdefault(index, []).append(what)
        for index, words in sorted(named.items()):
            place = self._places[index]
            yield RatePoint(
                update=place + 1, epoch=self._epoch(place), rate=self.rates[index], what=", ".join(dict.fromkeys(words))
            )

    def plateau(self) -> Plateau | None:
        """Return what equal validations do to the rate of the last update, or None where they do nothing."""
        place, rate = self._places[-1], self.rates[-1]
        for count in range(2, _VALIDATIONS + 2):
            lower = self._rate(place, (Validated(place, 1.0),) * count)
            if lower < rate:
                return Plateau(validations=count - 1, factor=lower / rate)
        return None

    def first_below(self, limit: float) -> int | None:
        """Return the first update whose rate is below a limit and does not rise, or None."""
        for index, (rate, following) in enumerate(pairwise([*self.rates, self.rates[-1]])):
            if index and rate < limit and following <= rate:
                return self._places[index] + 1
        return None

    def _telling(self) -> Iterator[tuple[int, str]]:
        last, peak = len(self.rates) - 1, max(self.rates)
        top = self.rates.index(peak)
        yield 0, "first"
        if top:
            yield self._first(peak / 2), "half of the highest"
            yield top, "highest"
        held = max(index for index, rate in enumerate(self.rates) if rate == peak)
        if held > top:
            yield held, "still the highest"
        for share, words in ((0.5, "half of the highest"), (0.1, "a tenth of the highest")):
            below = next((index for index in range(held, last + 1) if self.rates[index] <= share * peak), None)
            if below is not None:
                yield below, words
        for quarter, words in ((1, "a quarter of the budget"), (2, "half of the budget"), (3, "three quarters")):
            yield last * quarter // 4, words
        yield last, "last"

    def _first(self, rate: float) -> int:
        return next(index for index, found in enumerate(self.rates) if found >= rate)

    def _rate(self, place: int, validations: tuple[Validated, ...] = ()) -> float:
        with blame(self._registered, "where it is asked for a rate"):
            return self._schedule(Progress(place, self._epoch(place) or 1, self._max_updates, validations))

    def _epoch(self, place: int) -> int | None:
        return None if self._per_epoch is None else int(place / self._per_epoch) + 1
