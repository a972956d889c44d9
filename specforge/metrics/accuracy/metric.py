"""Accuracy: how often the label is right."""

from __future__ import annotations

from typing import ClassVar

from specforge.metrics.accuracy.config import AccuracyConfig
from specforge.metrics.exact_match.metric import ExactMatch
from specforge.metrics.metric import Metric


class Accuracy(ExactMatch):
    """Percentage of labels that equal the reference: an exact match, by the name that classification has for it."""

    name: ClassVar[str] = "accuracy"


def build(config: AccuracyConfig) -> Metric:
    """Return the metric."""
    del config
    return Accuracy()
