"""Whether the difference of two systems on one test is more than luck: paired bootstrap resampling. Free of torch.

Both systems are scored on the same resamples of the test, drawn sentence by sentence with replacement. The p-value is the
share of resamples whose difference strays from the mean difference by more than the difference that was observed.

Source: Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation"; for metrics of sacrebleu it is the
library's own test (`--paired-bs`), for others the same formula over scores of sentences.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np

from specforge.metrics.metric import Metric
from specforge.metrics.sacrebleu import SacrebleuMetric

RESAMPLES: Final = 1_000

SEED: Final = 12_345
"""Of the resamples: sacrebleu's own default, whatever SACREBLEU_SEED says, so that a p-value can be printed again."""

_SEED_VARIABLE: Final = "SACREBLEU_SEED"


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
        At least 1 / (`RESAMPLES` + 1), or None where the metric has neither sacrebleu's statistics nor scores of sentences.
    """
    if isinstance(metric, SacrebleuMetric):
        return _by_sacrebleu(metric, baseline, system, references)
    first, second = (metric.sentence_scores(hypotheses, references) for hypotheses in (baseline, system))
    return None if first is None or second is None else _by_sentences(first, second)


def _by_sacrebleu(
    metric: SacrebleuMetric, baseline: Sequence[str], system: Sequence[str], references: Sequence[Sequence[str]]
) -> float:
    from sacrebleu.metrics.base import Metric as Scorer  # these take a third of a second
    from sacrebleu.significance import PairedTest, Result

    scorer = metric.scorer()
    assert isinstance(scorer, Scorer)
    with _seeded():
        _, found = PairedTest([("baseline", baseline), ("system", system)], {"": scorer}, references, "bs", RESAMPLES)()
    # a table: the names of the systems, and for each metric the results of both
    (result,) = (rows[1] for name, rows in found.items() if name != "System")
    assert isinstance(result, Result)
    assert result.p_value is not None
    return float(result.p_value)


@contextmanager
def _seeded() -> Iterator[None]:
    """Let sacrebleu draw by our seed; it knows no other way than a variable of the environment."""
    former = os.environ.get(_SEED_VARIABLE)
    os.environ[_SEED_VARIABLE] = str(SEED)
    try:
        yield
    finally:
        del os.environ[_SEED_VARIABLE]
        if former is not None:
            os.environ[_SEED_VARIABLE] = former


def _by_sentences(baseline: Sequence[float], system: Sequence[float]) -> float:
    differences = np.asarray(system, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    generator = np.random.default_rng(SEED)
    drawn = generator.choice(len(differences), size=(RESAMPLES, len(differences)), replace=True)
    strayed = np.abs(differences[drawn].mean(axis=1))
    beyond = int(np.sum(strayed - strayed.mean() > abs(differences.mean())))
    return (beyond + 1) / (RESAMPLES + 1)
