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
            tokenize="none" if config.language else config.tokenize,
            lowercase=config.lowercase,
            smooth_method=config.smooth_method,
            smooth_value=config.smooth_value,
        )
        if config.language:  # sacrebleu has no such tokens, and takes them
            from specforge.metrics.moses import MosesTokens

            made.tokenizer = MosesTokens(config.language)
            made.tokenizer_signature = made.tokenizer.signature()
        return cast("Scorer", made)

    return SacrebleuMetric("bleu", scorer, higher_is_better=True)
