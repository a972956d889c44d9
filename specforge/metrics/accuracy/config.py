"""What a spec may say about accuracy. Free of torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from specforge.plugin import MetricConfig


class AccuracyConfig(MetricConfig):
    """Percentage of labels that are right."""

    judges: ClassVar[Literal["texts", "labels"] | None] = "labels"
