"""What `specforge test` finds out about the parts that decode and score: search and metrics."""

from __future__ import annotations

from typing import Literal

from specforge.planning.estimates import Figures


class Decoded(Figures):
    """A line that was decoded: source, what came out, the reference, and the search's score in nats."""

    source: str
    hypothesis: str
    reference: str
    score: float


class SearchFindings(Figures):
    """A search on a few lines of the validation data.

    Args:
        weights: `trained` (the checkpoint that `generate.checkpoint` names) or `first` (random).
        lines: the lines.
        sentences_per_second: how fast.
        pieces: pieces of all outputs.
    """

    kind: Literal["search"] = "search"
    weights: Literal["trained", "first"]
    lines: list[Decoded]
    sentences_per_second: float
    pieces: int


class MetricScores(Figures):
    """A metric on texts whose order of merit is known.

    Args:
        name, signature: as in `scores.json`.
        itself: the references against themselves: the best there is.
        halved: the references without every second word; None for labels.
        shuffled: each reference against another one.
    """

    name: str
    signature: str
    higher_is_better: bool
    itself: float
    halved: float | None
    shuffled: float


class MetricFindings(Figures):
    """Metrics on the validation references.

    Args:
        lines: how many.
        scores: one entry for each metric.
    """

    kind: Literal["metrics"] = "metrics"
    lines: int
    scores: list[MetricScores]
