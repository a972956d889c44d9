"""The score step: hypotheses and references in, `scores.json` out. Free of torch, unless the model itself is measured.

`scores.json` is `{"scores": [...], "sentences": n}`, one score for each of generate.metrics, in their order, each with
`name`, `value`, `signature`, `higher_is_better` and `text` as in `specforge.metrics.metric.Score`. Of a task without outputs
they are what the task measures (`specforge.steps.measuring`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from specforge.data.labels import Labels
from specforge.data.readers import RowRemarks
from specforge.execution.job import Job
from specforge.foundation import durable
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.events import Reporter
from specforge.foundation.text_files import read_lines
from specforge.metrics.confidence import confidence_interval
from specforge.metrics.metric import Metric, Score
from specforge.plugin import MetricConfig
from specforge.steps.corpora import reference_roles, report_remarks, split_rows
from specforge.steps.label_check import check_labels
from specforge.steps.parts import configured, make_metric, make_tokenizer, task_config

HYPOTHESES: Final = "hypotheses.txt"
LABELS: Final = "labels.txt"
SCORES: Final = "scores.json"


def run(job: Job, reporter: Reporter) -> None:
    """Score a test.

    Raises:
        WrongInputError: as `scored_texts`, or `specforge.steps.measuring.measured_test`.
        CorruptStateError, EnvironmentFaultError: as `measured_test`.
    """
    assert job.output is not None
    if "generate" in job.needs:
        scores, sentences = _metric_scores(job, reporter)
    else:
        from specforge.steps.measuring import measured_test  # this computes, so it takes torch

        scores, sentences = measured_test(job, reporter)
    for score in scores:
        reporter.record("score", metric=score.name, value=score.value, signature=score.signature)
    as_json: list[JsonValue] = [_as_json(score) for score in scores]
    durable.write_json(Path(job.output) / SCORES, {"scores": as_json, "sentences": sentences})


def _metric_scores(job: Job, reporter: Reporter) -> tuple[Sequence[Score], int]:
    tables = job.settings["metrics"]
    assert isinstance(tables, list)
    metrics = [make_metric(table) for table in tables]
    texts = scored_texts(job, reporter)
    resamples = job.settings.get("bootstrap", 0)
    assert isinstance(resamples, int)
    scores: list[Score] = []
    for number, metric in enumerate(metrics, start=1):
        score = _scored(metric, texts, resamples)
        scores.append(score)
        reporter.progress(number, len(metrics), "metrics", metric=score.name, value=round(score.value, 2))
    return scores, len(texts.hypotheses)


def _scored(metric: Metric, texts: ScoredTexts, resamples: int) -> Score:
    """Return what a metric says of a test, with a confidence interval where resamples are asked for."""
    metric = metric if texts.sources is None else metric.with_sources(texts.sources)
    score = metric.score(texts.hypotheses, texts.references)
    if not resamples:
        return score
    return replace(score, interval=confidence_interval(metric, texts.hypotheses, texts.references, resamples))


@dataclass(frozen=True, slots=True)
class ScoredTexts:
    """A test with what came of it, a line of each text for every line of the test.

    Args:
        hypotheses: what is scored.
        references: one or more texts.
        sources: for metrics that look at them; None where none does.
    """

    hypotheses: list[str]
    references: list[list[str]]
    sources: list[str] | None = None


def scored_texts(job: Job, reporter: Reporter) -> ScoredTexts:
    """Read what a score job compares.

    Raises:
        WrongInputError: SF503, not as many references as hypotheses; SF522, a label that cannot be predicted; others as `specforge.data.readers.read_rows`.
    """
    task, remarks = task_config(job.settings["task"]), RowRemarks()
    role, source = task.predicted, task.columns()[0].role
    wanted = reference_roles(job)
    count = len(wanted)
    wanted += [source] if _looks_at_sources(job) else []
    texts: list[list[str]] = [[] for _ in wanted]
    for row in split_rows(job, "test", remarks, wanted):
        for column, text in zip(texts, row, strict=True):
            column.append(text)
    if "tokenizer" in job.settings:  # labels are compared as they are
        tokenizer = make_tokenizer(job.settings["tokenizer"])
        roles = [role] * count + [source] * (len(texts) - count)
        texts = [[tokenizer.surface(of, text) for text in column] for of, column in zip(roles, texts, strict=True)]
    references, sources = texts[:count], texts[count:]
    report_remarks(remarks, reporter)
    path = Path(job.needs["generate"]) / HYPOTHESES
    known = path.with_name(LABELS)
    if known.is_file():
        labels = Labels.from_bytes(known.read_bytes(), Place(str(known)))
        if not set(references[0]) <= set(labels):
            check_labels(job, {role: labels}, "test")
    hypotheses = list(read_lines(path))
    if len(hypotheses) != len(references[0]):
        raise WrongInputError(
            "SF503",
            f"{len(hypotheses):,} hypotheses and {len(references[0]):,} references",
            place=Place(str(path)),
            help="a line of the test's target side for each line of its source side",
        )
    return ScoredTexts(hypotheses, references, sources[0] if sources else None)


def _looks_at_sources(job: Job) -> bool:
    tables = job.settings.get("metrics")
    configs = [configured("metric", table)[1] for table in tables] if isinstance(tables, list) else []
    return any(isinstance(config, MetricConfig) and config.needs_sources for config in configs)


def _as_json(score: Score) -> dict[str, JsonValue]:
    """Return a score as `scores.json` has it; `interval` only where there is one."""
    values = asdict(score)
    return {name: value for name, value in values.items() if name != "interval" or value is not None}
