"""What `specforge evaluate` asks a worker, and the answer: the scores of finished text."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TextFiles(_Record):
    """What is scored: the setting `evaluate`.

    Args:
        hypotheses: file as typed.
        references: one or more files, which are alternatives.
        source: file, for metrics that look at it.
        compare: hypotheses of another system.
        bootstrap: resamples for confidence intervals; 0 for none.
    """

    hypotheses: str
    references: list[str]
    source: str | None
    compare: str | None
    bootstrap: int


class FoundInterval(_Record):
    """A confidence interval, as `specforge.metrics.metric.Interval`."""

    mean: float
    margin: float
    confidence: float
    resamples: int
    seed: int


class Compared(_Record):
    """The score of the other system.

    Args:
        value: its score.
        interval: its confidence interval.
        p_value: of the difference, by paired bootstrap; None where the metric has no such test.
    """

    value: float
    interval: FoundInterval | None
    p_value: float | None


class FoundScore(_Record):
    """A score, as `specforge.metrics.metric.Score`; `compare` where there is another system."""

    name: str
    value: float
    signature: str
    higher_is_better: bool
    text: str
    interval: FoundInterval | None
    compare: Compared | None


class Evaluation(_Record):
    """The answer.

    Args:
        format: of this record.
        lines: lines that were scored.
        scores: one for each metric, in their order.
    """

    format: int = 1
    lines: int
    scores: list[FoundScore] = Field(min_length=1)
