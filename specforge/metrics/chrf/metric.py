"""chrF and chrF++ by sacrebleu."""

from __future__ import annotations

from typing import cast

from specforge.metrics.chrf.config import ChrfConfig
from specforge.metrics.metric import Metric
from specforge.metrics.sacrebleu import SacrebleuMetric, Scorer


def build(config: ChrfConfig) -> Metric:
    """Return the metric; its values are points of 100."""

    def scorer() -> Scorer:
        from sacrebleu.metrics.chrf import CHRF

        made = CHRF(
            char_order=config.char_order,
            word_order=config.word_order,
            beta=config.beta,
            lowercase=config.lowercase,
            whitespace=config.whitespace,
            eps_smoothing=config.eps_smoothing,
        )
        return cast("Scorer", made)

    return SacrebleuMetric("chrf", scorer, higher_is_better=True)
