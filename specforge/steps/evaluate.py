"""The scores of finished text, whoever wrote it; no step of a plan, and no result.

The answer is the record `evaluate`, whose value `json` is a `specforge.execution.questions.evaluation.Evaluation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from specforge.execution.job import Job
from specforge.execution.questions.evaluation import Compared, Evaluation, FoundInterval, FoundScore, TextFiles
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.events import Reporter
from specforge.foundation.quantities import counted
from specforge.foundation.text_files import read_lines
from specforge.metrics.confidence import confidence_interval
from specforge.metrics.metric import Metric
from specforge.metrics.significance import paired_bootstrap
from specforge.steps.parts import make_metric


def run(job: Job, reporter: Reporter) -> None:
    """Score text.

    Raises:
        WrongInputError: SF503, files of unequal length; SF504, an empty one; others as
            `specforge.foundation.text_files.read_lines`.
    """
    files = TextFiles.model_validate(job.settings["evaluate"])
    tables = job.settings["metrics"]
    assert isinstance(tables, list)
    metrics = [make_metric(table) for table in tables]
    texts = _Texts(files)
    scores = [texts.scored(metric) for metric in metrics]
    answer = Evaluation(lines=len(texts.hypotheses), scores=scores)
    reporter.record("evaluate", json=answer.model_dump_json())


class _Texts:
    """The lines of the files.

    Args:
        files: where they lie.
    """

    def __init__(self, files: TextFiles) -> None:
        self.hypotheses = _lines(files.hypotheses)
        self._references = [self._beside(name, files) for name in files.references]
        self._source = None if files.source is None else self._beside(files.source, files)
        self._other = None if files.compare is None else self._beside(files.compare, files)
        self._resamples = files.bootstrap

    def _beside(self, name: str, files: TextFiles) -> list[str]:
        """Return the lines of a file, as many as there are hypotheses."""
        lines = _lines(name)
        if len(lines) != len(self.hypotheses):
            raise WrongInputError(
                "SF503",
                f"{counted(len(lines), 'line')} here, and {counted(len(self.hypotheses), 'line')} in `{files.hypotheses}`",
                place=Place(name),
                help="line n of one file belongs to line n of the others",
            )
        return lines

    def scored(self, metric: Metric) -> FoundScore:
        """Return what a metric says."""
        metric = metric if self._source is None else metric.with_sources(self._source)
        score = metric.score(self.hypotheses, self._references)
        return FoundScore(
            name=score.name,
            value=score.value,
            signature=score.signature,
            higher_is_better=score.higher_is_better,
            text=score.text,
            interval=self._interval(metric, self.hypotheses),
            compare=None if self._other is None else self._compared(metric, self._other),
        )

    def _compared(self, metric: Metric, other: Sequence[str]) -> Compared:
        return Compared(
            value=metric.score(other, self._references).value,
            interval=self._interval(metric, other),
            p_value=paired_bootstrap(metric, other, self.hypotheses, self._references),
        )

    def _interval(self, metric: Metric, hypotheses: Sequence[str]) -> FoundInterval | None:
        if not self._resamples:
            return None
        found = confidence_interval(metric, hypotheses, self._references, self._resamples)
        return None if found is None else FoundInterval(**asdict(found))


def _lines(name: str) -> list[str]:
    lines = list(read_lines(Path(name)))
    if not lines:
        raise WrongInputError("SF504", "there are no lines to score", place=Place(name))
    return lines
