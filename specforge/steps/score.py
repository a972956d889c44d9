"""The score step: hypotheses and references in, `scores.json` out. Free of torch, unless the model itself is measured.

`scores.json` is `{"scores": [...], "sentences": n}`, one score for each of generate.metrics, in their order, each with
`name`, `value`, `signature`, `higher_is_better` and `text` as in `specforge.metrics.metric.Score`. Of a task without outputs
they are what the task measures (`specforge.steps.measuring`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
from specforge.metrics.metric import Score
from specforge.steps.corpora import report_remarks, split_rows
from specforge.steps.label_check import check_labels
from specforge.steps.parts import make_metric, make_tokenizer, task_config

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
    scores: list[Score] = []
    for number, metric in enumerate(metrics, start=1):
        score = metric.score(texts.hypotheses, [texts.references])
        scores.append(score)
        reporter.progress(number, len(metrics), "metrics", metric=score.name, value=round(score.value, 2))
    return scores, len(texts.hypotheses)


@dataclass(frozen=True, slots=True)
class ScoredTexts:
    """Hypotheses and their references, a line of each for every line of the test."""

    hypotheses: list[str]
    references: list[str]


def scored_texts(job: Job, reporter: Reporter) -> ScoredTexts:
    """Read what a score job compares.

    Raises:
        WrongInputError: SF503, not as many references as hypotheses; SF522, a label that cannot be predicted; others as `specforge.data.readers.read_rows`.
    """
    task, remarks = task_config(job.settings["task"]), RowRemarks()
    role = task.predicted
    references = [row[0] for row in split_rows(job, "test", remarks, [role])]
    if "tokenizer" in job.settings:  # labels are compared as they are
        tokenizer = make_tokenizer(job.settings["tokenizer"])
        references = [tokenizer.surface(role, text) for text in references]
    report_remarks(remarks, reporter)
    path = Path(job.needs["generate"]) / HYPOTHESES
    known = path.with_name(LABELS)
    if known.is_file():
        labels = Labels.from_bytes(known.read_bytes(), Place(str(known)))
        if not set(references) <= set(labels):
            check_labels(job, {role: labels}, "test")
    hypotheses = list(read_lines(path))
    if len(hypotheses) != len(references):
        raise WrongInputError(
            "SF503",
            f"{len(hypotheses):,} hypotheses and {len(references):,} references",
            place=Place(str(path)),
            help="a line of the test's target side for each line of its source side",
        )
    return ScoredTexts(hypotheses, references)


def _as_json(score: Score) -> dict[str, JsonValue]:
    return dict(asdict(score))
