"""The points of a sweep one after the other: what they share runs once, and a point that fails stops no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from specforge.execution.prepare import prepare
from specforge.execution.progress import Display
from specforge.execution.runner import Options, Runner
from specforge.execution.signals import StopRequest
from specforge.execution.sweeps.sweep_folder import PointOutcome, SweepFolder
from specforge.foundation.errors import (
    InterruptedRunError,
    SpecforgeError,
    StoppedRunError,
    from_os_error,
)
from specforge.foundation.events import ProgressEvent
from specforge.language.spec import Point, Spec
from specforge.planning.plan import Plan, State, Step
from specforge.storage.digests import Digests
from specforge.storage.store import Store

StepKey: TypeAlias = tuple[str, str]
"""Kind and key of a step: what it is, at whatever point."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be run of a plan.

    Args:
        steps: the steps to go through.
        force: ids of those that are made anew although their results are there.
    """

    steps: tuple[Step, ...]
    force: frozenset[str]


class SweepRunner:
    """Runs the points of a sweep.

    Args:
        store: where results go.
        digests: the data files.
        display: where progress is shown.
        stop: requests to stop.
        options: how to run; what is forced is said by `choose`.
        choose: from the plan of a point to what is to be run of it.
        announce: told of each point before it runs, and whether all its results are there.
        report: told of each point that failed.
    """

    def __init__(
        self,
        store: Store,
        digests: Digests,
        display: Display,
        stop: StopRequest,
        options: Options,
        *,
        choose: Callable[[Plan], Choice],
        announce: Callable[[Point, bool], None],
        report: Callable[[PointOutcome], None],
    ) -> None:
        self._store = store
        self._digests = digests
        self._display = display
        self._stop = stop
        self._options = options
        self._choose = choose
        self._announce = announce
        self._report = report
        self._made: set[StepKey] = set()
        self._failed: dict[StepKey, tuple[int, SpecforgeError]] = {}

    def run(self, specs: Sequence[Spec], folder: SweepFolder) -> list[PointOutcome]:
        """Run the points in order.

        Args:
            specs: the spec of each point.
            folder: where to write what has come of them, after each.

        Raises:
            InterruptedRunError: Ctrl-C; the points that are left do not run.
            StoppedRunError: SIGTERM.
        """
        self._store.create()
        folder.claim()
        outcomes = [PointOutcome(_point(spec)) for spec in specs]
        folder.write(outcomes)
        for spec, outcome in zip(specs, outcomes, strict=True):
            self._stop.check()
            try:
                self._run(spec, outcome)
            except (InterruptedRunError, StoppedRunError):
                raise
            except (SpecforgeError, OSError) as error:
                outcome.state = "failed"
                outcome.error = from_os_error(error) if isinstance(error, OSError) else error
                self._report(outcome)
            folder.write(outcomes)
        return outcomes

    def _run(self, spec: Spec, outcome: PointOutcome) -> None:
        plan = prepare(spec, self._store, self._digests)
        choice = self._choose(plan)
        # What an earlier point has made anew for itself is as new as this one wants it.
        force = frozenset(step.id for step in choice.steps if step.id in choice.force and _key(step) not in self._made)
        is_there = not force and all(step.state is State.REUSE for step in choice.steps)
        self._announce(outcome.point, is_there)
        for step in choice.steps:
            if _key(step) in self._failed:
                outcome.failed_with, error = self._failed[_key(step)]
                raise error
        display = _Silent(self._display) if is_there else self._display
        options = replace(self._options, force=force)
        runner = Runner(spec, plan, self._store, self._digests, display, self._stop, options)
        try:
            runner.run(choice.steps)
        except (InterruptedRunError, StoppedRunError):
            raise
        except SpecforgeError as error:
            self._note_failure(outcome.point, choice.steps, runner, error)
            raise
        finally:
            self._made |= {_key(step) for step in choice.steps if runner.done.get(step.id) == "run"}
        outcome.scores = runner.folder.write_scores(plan)
        outcome.state = "done"

    def _note_failure(self, point: Point, steps: Sequence[Step], runner: Runner, error: SpecforgeError) -> None:
        """Remember which step failed, so that no other point tries it again."""
        failed = next((step for step in steps if step.id not in runner.done), None)
        if failed is not None and error.code not in _OF_THE_MOMENT:
            self._failed[_key(failed)] = (point.number, error)


_OF_THE_MOMENT = frozenset({"SF621", "SF622", "SF623"})
"""Another run is at it, the name of this point is taken, a file was being written: the next point may have more luck."""


class _Silent:
    """A display for points of which nothing has to be made: one line about the point says it all.

    Args:
        display: where steps that run after all are shown.
    """

    def __init__(self, display: Display) -> None:
        self._display = display

    def line(self, text: str) -> None:
        """Show nothing."""

    def progress(self, step: str, event: ProgressEvent) -> None:
        """Show how far a step is."""
        self._display.progress(step, event)

    def end(self, step: str) -> None:
        """Show that a step has ended."""
        self._display.end(step)


def _point(spec: Spec) -> Point:
    assert spec.point is not None, "the spec of a point knows which one"
    return spec.point


def _key(step: Step) -> StepKey:
    return step.kind, step.key
