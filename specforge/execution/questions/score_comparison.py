"""The scores of two specs side by side, with the significance of their differences, asked of a worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from specforge.execution.job import Job
from specforge.execution.jobs import step_corpora
from specforge.execution.questions.answers import answer
from specforge.execution.signals import StopRequest
from specforge.execution.stored_outcomes import stored_scores
from specforge.execution.workers import available_threads
from specforge.language.spec import Spec
from specforge.planning.comparison.outcomes import (
    PairOfTests,
    ScorePair,
    Significance,
    StoredScore,
    pairs_of_tests,
    score_pairs,
)
from specforge.planning.plan import Plan, Step


@dataclass(frozen=True, slots=True)
class ScoredSide:
    """One of the two specs.

    Args:
        spec: the spec.
        plan: its plan.
        folders: id → folder of the result of each step that has one.
    """

    spec: Spec
    plan: Plan
    folders: Mapping[str, Path]

    def scores(self, step: Step | None) -> list[StoredScore]:
        """Return the scores of a score step, as far as they are there."""
        return stored_scores(self.folders[step.id]) if step is not None and step.id in self.folders else []


def compare_scores(before: ScoredSide, after: ScoredSide, stop: StopRequest) -> Iterator[ScorePair]:
    """Yield every score that either spec has, side by side.

    Args:
        before: the first spec.
        after: the second.
        stop: requests to stop.

    Raises:
        SpecforgeError: a result is damaged, or a worker cannot be started.
    """
    for pair in pairs_of_tests(before.plan.steps, after.plan.steps):
        scores = list(score_pairs(pair, before.scores(pair.before), after.scores(pair.after)))
        asked = [number for number, score in scores if number is not None and score.difference]
        found = _significance(before, after, pair, asked, stop) if asked else None
        for number, score in scores:
            if found is None or number not in asked:
                yield score
            else:
                yield score.with_significance(found, found.p_values[asked.index(number)])


def _significance(
    before: ScoredSide, after: ScoredSide, pair: PairOfTests, metrics: list[int], stop: StopRequest
) -> Significance:
    assert pair.before is not None
    assert pair.after is not None
    numbers: list[JsonValue] = [*metrics]
    settings: dict[str, JsonValue] = {
        "a": _score_job(before, pair.before),
        "b": _score_job(after, pair.after),
        "metrics": numbers,
    }
    job = Job(id="significance", kind="significance", settings=settings, threads=available_threads(1))
    return Significance.model_validate_json(answer(job, stop))


def _score_job(side: ScoredSide, step: Step) -> JsonValue:
    job = Job(
        id=step.id,
        kind=step.kind,
        settings=dict(step.settings),
        corpora=list(step_corpora(side.spec, step)),
        needs={"generate": str(side.folders[step.needs[0]])},
    )
    dumped: JsonValue = job.model_dump(mode="json")
    return dumped
