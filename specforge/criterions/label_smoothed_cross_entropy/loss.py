"""Label-smoothed cross entropy of the targets of a batch."""

from __future__ import annotations

from specforge.criterions.cross_entropy.loss import CrossEntropy
from specforge.criterions.label_smoothed_cross_entropy.config import LabelSmoothedCrossEntropyConfig
from specforge.plugin import ModelContext


def build(config: LabelSmoothedCrossEntropyConfig, context: ModelContext) -> CrossEntropy:
    """Return the criterion."""
    del context
    return CrossEntropy(config.label_smoothing)
