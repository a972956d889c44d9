"""BLEU by sacrebleu."""

from __future__ import annotations

from typing import cast

from specforge.metrics.bleu.config import BleuConfig
from specforge.metrics.metric import Metric
from specforge.metrics.sacrebleu import SacrebleuMetric, Scorer


def build(config: BleuConfig) -> Metric:
    """Return the metric; its values are points of 100."""

    def scorer() -> Scorer:
        from sacrebleu.metrics.bleu import BLEU

        made = BLEU(
            tokenize=config.tokenize,
            lowercase=config.lowercase,
            smooth_method=config.smooth_method,
            smooth_value=config.smooth_value,
        )
        return cast("Scorer", made)

    return SacrebleuMetric("bleu", scorer, higher_is_better=True)
