"""Whether the difference of two systems on one test is more than luck: paired bootstrap resampling. Free of torch.

Both systems are scored on the same resamples of the test, drawn sentence by sentence with replacement. The p-value is the
share of resamples whose difference strays from the mean difference by more than the difference that was observed.

Source: Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation"; for metrics of sacrebleu it is the
library's own test (`--paired-bs`), for others the same formula over `Metric.resampled`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from specforge.metrics.metric import Metric
from specforge.metrics.resampling import RESAMPLES, drawn, sacrebleu_seed
from specforge.metrics.sacrebleu import SacrebleuMetric


def paired_bootstrap(
    metric: Metric, baseline: Sequence[str], system: Sequence[str], references: Sequence[Sequence[str]]
) -> float | None:
    """Return the p-value of the difference between two systems.

    Args:
        metric: what scores them.
        baseline: hypotheses of the first system, one for each sentence of the test.
        system: those of the second.
        references: one or more sets of references.

    Returns:
        At least 1 / (`RESAMPLES` + 1), or None where the metric cannot tell the scores of resamples.
    """
    if isinstance(metric, SacrebleuMetric):
        return _by_sacrebleu(metric, baseline, system, references)
    return _by_resamples(metric, baseline, system, references)


def _by_sacrebleu(
    metric: SacrebleuMetric, baseline: Sequence[str], system: Sequence[str], references: Sequence[Sequence[str]]
) -> float:
    from sacrebleu.metrics.base import Metric as Scorer  # these take a third of a second
    from sacrebleu.significance import PairedTest, Result

    scorer = metric.scorer()
    assert isinstance(scorer, Scorer)
    with sacrebleu_seed():
        _, found = PairedTest([("baseline", baseline), ("system", system)], {"": scorer}, references, "bs", RESAMPLES)()
    # a table: the names of the systems, and for each metric the results of both
    (result,) = (rows[1] for name, rows in found.items() if name != "System")
    assert isinstance(result, Result)
    assert result.p_value is not None
    return float(result.p_value)


def _by_resamples(
    metric: Metric, baseline: Sequence[str], system: Sequence[str], references: Sequence[Sequence[str]]
) -> float | None:
    whole = np.arange(len(baseline))[None]
    samples = np.concatenate((whole, drawn(len(baseline), RESAMPLES)))
    first, second = (metric.resampled(hypotheses, references, samples) for hypotheses in (baseline, system))
    if first is None or second is None:
        return None
    observed, *strayed = np.abs(second - first)
    beyond = int(np.sum(strayed - np.mean(strayed) > observed))
    return (beyond + 1) / (RESAMPLES + 1)
