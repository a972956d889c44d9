"""Confidence intervals: sacrebleu's own for its metrics, and by hand for others."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from specforge.metrics.bleu.config import BleuConfig
from specforge.metrics.bleu.metric import build as build_bleu
from specforge.metrics.chrf.config import ChrfConfig
from specforge.metrics.chrf.metric import build as build_chrf
from specforge.metrics.confidence import confidence_interval
from specforge.metrics.exact_match.config import ExactMatchConfig
from specforge.metrics.exact_match.metric import build as build_exact_match
from specforge.metrics.f1.config import F1Config
from specforge.metrics.f1.metric import build as build_f1
from specforge.metrics.metric import Interval, Metric, Score
from specforge.metrics.resampling import SEED, drawn

REFERENCES = [f"sentence number {number} of a short test" for number in range(40)]
HYPOTHESES = [line if number % 3 else f"the {line} over" for number, line in enumerate(REFERENCES)]


class Silent(Metric):
    """A metric without scores of sentences."""

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        raise NotImplementedError


def test_metrics_of_sacrebleu_have_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    for metric, theirs in ((build_bleu(BleuConfig()), BLEU()), (build_chrf(ChrfConfig()), CHRF())):
        expected = theirs.corpus_score(HYPOTHESES, [REFERENCES], n_bootstrap=200)
        found = confidence_interval(metric, HYPOTHESES, [REFERENCES], 200)

        assert Interval(expected._mean, expected._ci, 0.95, 200, SEED) == found
        assert f"seed:{SEED}" in str(theirs.get_signature())


def test_the_seed_is_ours_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = build_bleu(BleuConfig())
    expected = confidence_interval(metric, HYPOTHESES, [REFERENCES], 50)
    monkeypatch.setenv("SACREBLEU_SEED", "7")

    assert expected == confidence_interval(metric, HYPOTHESES, [REFERENCES], 50)
    assert "7" == os.environ["SACREBLEU_SEED"]


def test_the_interval_holds_what_is_left_without_the_outermost_fortieths() -> None:
    hypotheses, references = ["a", "b", "c", "d"], ["a", "x", "x", "x"]
    found = confidence_interval(build_exact_match(ExactMatchConfig()), hypotheses, [references], 80)

    # the first sentence alone is right: its share of each resample; of 80 the two lowest and the two highest are left out
    shares = sorted((drawn(4, 80) == 0).mean(axis=1) * 100.0)
    assert found == Interval(float(np.mean(shares)), 0.5 * (shares[77] - shares[2]), 0.95, 80, SEED)


def test_f1_of_a_resample_is_the_f1_of_its_sentences() -> None:
    hypotheses, references = ["a", "b", "b", "c", "a"], ["a", "b", "a", "c", "d"]
    samples = np.array([[0, 1, 2, 3, 4], [0, 0, 1, 1, 1], [2, 4, 4, 2, 2], [3, 3, 3, 3, 2]])
    metric = build_f1(F1Config())
    expected = [
        metric.score([hypotheses[each] for each in sample], [[references[each] for each in sample]]).value
        for sample in samples.tolist()
    ]

    found = metric.resampled(hypotheses, [references], samples)

    assert found is not None
    assert 100.0 == expected[1]
    assert expected == pytest.approx(found.tolist())


def test_a_metric_that_cannot_tell_has_no_interval() -> None:
    assert confidence_interval(Silent(), HYPOTHESES, [REFERENCES], 10) is None
