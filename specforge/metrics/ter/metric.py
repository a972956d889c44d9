"""Translation edit rate by sacrebleu."""

from __future__ import annotations

from typing import cast

from specforge.metrics.metric import Metric
from specforge.metrics.sacrebleu import SacrebleuMetric, Scorer
from specforge.metrics.ter.config import TerConfig


def build(config: TerConfig) -> Metric:
    """Return the metric; its values are edits per 100 words of reference, so lower is better."""

    def scorer() -> Scorer:
        from sacrebleu.metrics.ter import TER

        made = TER(
            normalized=config.normalized,
            no_punct=config.no_punct,
            asian_support=config.asian_support,
            case_sensitive=config.case_sensitive,
        )
        return cast("Scorer", made)

    return SacrebleuMetric("ter", scorer, higher_is_better=False)
