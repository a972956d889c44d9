"""How far a score can be trusted: its confidence interval by bootstrap resampling. Free of torch.

The metric is computed on resamples of the test, drawn sentence by sentence with replacement. The interval is what 95 % of
the resamples score, the highest and lowest fortieth left out.

Source: Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation", as sacrebleu's `--confidence` does it;
for metrics of sacrebleu it is the library's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from specforge.metrics.metric import Interval, Metric
from specforge.metrics.resampling import SEED, drawn, sacrebleu_seed
from specforge.metrics.sacrebleu import SacrebleuMetric

CONFIDENCE: Final = 0.95


def confidence_interval(
    metric: Metric, hypotheses: Sequence[str], references: Sequence[Sequence[str]], resamples: int
) -> Interval | None:
    """Return where the score lies, or None where the metric cannot tell the scores of resamples.

    Args:
        metric: what scores.
        hypotheses: one line for each sentence of the test.
        references: one or more sets of references.
        resamples: how many to draw, at least 2.
    """
    if isinstance(metric, SacrebleuMetric):
        with sacrebleu_seed():
            mean, margin = metric.bootstrapped(hypotheses, references, resamples)
        return Interval(mean, margin, CONFIDENCE, resamples, SEED)
    scores = metric.resampled(hypotheses, references, drawn(len(hypotheses), resamples))
    if scores is None:
        return None
    from sacrebleu.significance import estimate_ci  # a third of a second

    mean, margin = estimate_ci(scores)
    return Interval(float(mean), float(margin), CONFIDENCE, resamples, SEED)
