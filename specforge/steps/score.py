"""The score step: hypotheses and references in, `scores.json` out. Free of torch.

`scores.json` is `{"scores": [...], "sentences": n}`, one score for each of generate.metrics, in their order, each with
`name`, `value`, `signature`, `higher_is_better` and `text` as in `specforge.metrics.metric.Score`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from specforge.data.readers import RowRemarks
from specforge.execution.job import Job
from specforge.foundation import durable
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.events import Reporter
from specforge.foundation.text_files import read_lines
from specforge.metrics.metric import Score
from specforge.steps.corpora import report_remarks, split_rows
from specforge.steps.parts import make_metric, make_tokenizer

HYPOTHESES: Final = "hypotheses.txt"
SCORES: Final = "scores.json"


def run(job: Job, reporter: Reporter) -> None:
    """Score a test.

    Raises:
        WrongInputError: SF503, not as many references as hypotheses; others as `specforge.data.readers.read_rows`.
    """
    assert job.output is not None
    tables = job.settings["metrics"]
    assert isinstance(tables, list)
    metrics = [make_metric(table) for table in tables]
    texts = scored_texts(job, reporter)
    scores: list[JsonValue] = []
    for number, metric in enumerate(metrics, start=1):
        score = metric.score(texts.hypotheses, [texts.references])
        scores.append(_as_json(score))
        reporter.progress(number, len(metrics), "metrics", metric=score.name, value=round(score.value, 2))
        reporter.record("score", metric=score.name, value=score.value, signature=score.signature)
    durable.write_json(Path(job.output) / SCORES, {"scores": scores, "sentences": len(texts.hypotheses)})


@dataclass(frozen=True, slots=True)
class ScoredTexts:
    """Hypotheses and their references, a line of each for every line of the test."""

    hypotheses: list[str]
    references: list[str]


def scored_texts(job: Job, reporter: Reporter) -> ScoredTexts:
    """Read what a score job compares.

    Raises:
        WrongInputError: as `run`.
    """
    tokenizer = make_tokenizer(job.settings["tokenizer"])
    remarks = RowRemarks()
    references = [tokenizer.surface("target", row[0]) for row in split_rows(job, "test", remarks, ["target"])]
    report_remarks(remarks, reporter)
    path = Path(job.needs["generate"]) / HYPOTHESES
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
