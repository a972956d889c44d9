"""Paired bootstrap: known shares by hand, and sacrebleu's own test for its metrics."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest

from specforge.metrics.bleu.config import BleuConfig
from specforge.metrics.bleu.metric import build as build_bleu
from specforge.metrics.exact_match.config import ExactMatchConfig
from specforge.metrics.exact_match.metric import build as build_exact_match
from specforge.metrics.f1.config import F1Config
from specforge.metrics.f1.metric import build as build_f1
from specforge.metrics.metric import Metric, Score
from specforge.metrics.resampling import RESAMPLES, drawn
from specforge.metrics.significance import paired_bootstrap

REFERENCES = [f"sentence number {number} of a short test" for number in range(40)]


class Silent(Metric):
    """A metric without scores of sentences."""

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        raise NotImplementedError


def wrong_from(start: int) -> list[str]:
    """Return the references with other words from one sentence on."""
    return [line if number < start else "other words" for number, line in enumerate(REFERENCES)]


def test_a_gain_in_every_sentence_is_as_significant_as_can_be() -> None:
    # the mean of every resample is 100, so no resample strays from their mean
    p_value = paired_bootstrap(build_exact_match(ExactMatchConfig()), wrong_from(0), REFERENCES, [REFERENCES])

    assert 1 / (RESAMPLES + 1) == p_value


def test_a_gain_in_most_sentences_is_significant() -> None:
    # the share of the 30 in a resample of 40 would have to be twice as large
    p_value = paired_bootstrap(build_exact_match(ExactMatchConfig()), wrong_from(10), REFERENCES, [REFERENCES])

    assert 1 / (RESAMPLES + 1) == p_value


def test_one_sentence_of_many_is_luck() -> None:
    # a resample of 40 has the sentence once on average, twice or more with 26 %, three times or more with 8 %: one of these
    # is the share that strays by more than once, as the mean of the resamples is a little below or above one
    p_value = paired_bootstrap(build_exact_match(ExactMatchConfig()), wrong_from(39), REFERENCES, [REFERENCES])

    assert p_value is not None
    assert 0.05 < p_value < 0.3


def test_the_p_value_is_the_share_that_strays_by_more() -> None:
    p_value = paired_bootstrap(build_exact_match(ExactMatchConfig()), wrong_from(38), REFERENCES, [REFERENCES])

    gains = 100.0 * (drawn(40, RESAMPLES) >= 38).mean(axis=1)  # of each resample; 5 is the observed one
    assert ((gains - gains.mean() > 5.0).sum() + 1) / (RESAMPLES + 1) == p_value


def test_f1_of_labels_has_significance() -> None:
    labels, wrong = ["a", "b"] * 20, ["a", "a"] * 20

    assert 1 / (RESAMPLES + 1) == paired_bootstrap(build_f1(F1Config()), wrong, labels, [labels])


@pytest.mark.parametrize("start", [38, 30, 10])
def test_both_directions_are_equally_significant(start: int) -> None:
    for metric in (build_exact_match(ExactMatchConfig()), build_bleu(BleuConfig())):
        there = paired_bootstrap(metric, wrong_from(start), REFERENCES, [REFERENCES])
        back = paired_bootstrap(metric, REFERENCES, wrong_from(start), [REFERENCES])
        assert there == back


def test_bleu_is_tested_by_sacrebleu_with_the_options_of_the_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SACREBLEU_SEED", "12345")
    shouted = [line.upper() if number % 3 else line for number, line in enumerate(REFERENCES)]
    systems: list[tuple[str, Sequence[str]]] = [("a", wrong_from(35)), ("b", shouted)]
    expected = {}
    for lowercase in (False, True):
        _, found = PairedTest(systems, {"": BLEU(lowercase=lowercase)}, [REFERENCES], "bs", RESAMPLES)()
        result = found["BLEU"][1]
        assert not isinstance(result, str)
        expected[lowercase] = result.p_value

    assert expected[True] != expected[False]
    for lowercase, p_value in expected.items():
        metric = build_bleu(BleuConfig(lowercase=lowercase))
        assert p_value == paired_bootstrap(metric, wrong_from(35), shouted, [REFERENCES])


def test_the_seed_is_ours_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = build_bleu(BleuConfig())
    monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    expected = paired_bootstrap(metric, wrong_from(37), REFERENCES, [REFERENCES])
    assert "SACREBLEU_SEED" not in os.environ

    monkeypatch.setenv("SACREBLEU_SEED", "none")
    assert expected == paired_bootstrap(metric, wrong_from(37), REFERENCES, [REFERENCES])
    assert "none" == os.environ["SACREBLEU_SEED"]


def test_a_metric_without_scores_of_sentences_has_no_significance() -> None:
    assert paired_bootstrap(Silent(), wrong_from(0), REFERENCES, [REFERENCES]) is None


def test_exact_match_is_the_mean_of_its_sentences() -> None:
    metric = build_exact_match(ExactMatchConfig())
    scores = metric.sentence_scores(["a", "b", "c"], [["a", "x", "c"], ["z", "b", "y"]])

    assert [100.0, 100.0, 100.0] == scores
    assert [100.0, 0.0] == metric.sentence_scores(["a", "b"], [["a", "x"]])
    assert 50.0 == metric.score(["a", "b"], [["a", "x"]]).value
