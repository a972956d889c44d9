"""`test SPEC generate.metrics`: metrics on texts whose order of merit is known. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Final

from specforge.execution.job import Job
from specforge.execution.questions.decoding_findings import MetricFindings, MetricScores
from specforge.foundation.errors import StepFailedError, WrongInputError
from specforge.language.spec import Registered
from specforge.metrics.metric import Metric, Score
from specforge.plugin import MetricConfig
from specforge.steps.parts import configured, make_metric, make_tokenizer, task_config
from specforge.steps.trial.blame import blame, breach, title
from specforge.steps.trial.sample import sampled_rows

_LINES: Final = 200
"""References that are scored: some metrics take a second for a few hundred."""


def try_metrics(job: Job, warnings: list[str]) -> MetricFindings:
    """Try the metrics of a spec on its validation references.

    Raises:
        StepFailedError: SF142, one raised; SF143, one finds something better than the reference itself; SF633, a score is
            not finite.
        WrongInputError: a file is wrong.
    """
    tables = job.settings["metrics"]
    assert isinstance(tables, list)
    sample = sampled_rows(job, _LINES)
    rows = (sample.valid or [row for rows in sample.train for row in rows])[:_LINES]
    task = task_config(job.settings["task"])
    place, column = next(
        (place, column) for place, column in enumerate(task.columns()) if column.role == task.predicted
    )
    tokenizer = make_tokenizer(job.settings["tokenizer"])
    kept = [row for _, row in rows if row[place].strip()]
    texts = [row[place] for row in kept]
    references = texts if column.labels else [tokenizer.surface(column.role, text) for text in texts]
    sources = [tokenizer.surface(task.columns()[0].role, row[0]) for row in kept]
    if len(references) < 2:  # noqa: PLR2004  # one cannot be exchanged for another
        raise WrongInputError("SF504", "there are no two lines to score")
    scores = []
    for table in tables:
        registered, config = configured("metric", table)
        with blame(registered, "where it is built"):
            metric = make_metric(table)
        if isinstance(config, MetricConfig) and config.needs_sources:
            with blame(registered, "in `with_sources`"):
                metric = metric.with_sources(sources)
        scores.append(_scores(metric, registered, references, warnings, whole=column.labels))
    return MetricFindings(lines=len(references), scores=scores)


def _scores(
    metric: Metric, registered: Registered, references: Sequence[str], warnings: list[str], *, whole: bool
) -> MetricScores:
    """Score what is known to be right, and what is known to be worse.

    Args:
        metric: the metric.
        registered: who made it.
        references: what it compares with.
        warnings: takes what is odd.
        whole: whether a reference is right or wrong as a whole: a label has no half.
    """
    itself = _score(metric, registered, references, references)
    halves = [" ".join(line.split()[::2]) for line in references]
    halved = None if whole else _score(metric, registered, halves, references)
    shuffled = _score(metric, registered, [*references[1:], references[0]], references)
    sign = 1 if itself.higher_is_better else -1
    worse = (
        [(shuffled, "another line")] if halved is None else [(halved, "half of the words"), (shuffled, "another line")]
    )
    for other, what in worse:
        if sign * other.value > sign * itself.value:
            message = f"finds {what} better ({other.value:.4g}) than the reference itself ({itself.value:.4g})"
            direction = "higher" if itself.higher_is_better else "lower"
            raise breach(registered, message, f"it says of itself that {direction} is better")
    if itself.value == shuffled.value:
        warnings.append(f"{title(registered)} does not tell the references from any other lines")
    return MetricScores(
        name=itself.name,
        signature=itself.signature,
        higher_is_better=itself.higher_is_better,
        itself=itself.value,
        halved=None if halved is None else halved.value,
        shuffled=shuffled.value,
    )


def _score(metric: Metric, registered: Registered, hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    with blame(registered, "in `score`"):
        score: object = metric.score(hypotheses, [references])
    if not isinstance(score, Score):
        raise breach(registered, f"returns an object of type `{type(score).__name__}`, not a `Score`")
    if not isfinite(score.value):
        raise StepFailedError("SF633", f"{title(registered)} gives a score of {score.value}")
    return score
