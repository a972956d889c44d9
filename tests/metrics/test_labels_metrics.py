"""Accuracy and macro F1, by hand."""

from __future__ import annotations

import pytest

from specforge.metrics.accuracy.config import AccuracyConfig
from specforge.metrics.accuracy.metric import build as build_accuracy
from specforge.metrics.f1.config import F1Config
from specforge.metrics.f1.metric import build as build_f1


def test_accuracy_counts_the_labels_that_are_right() -> None:
    score = build_accuracy(AccuracyConfig()).score(["a", "b", "b", "c"], [["a", "b", "c", "c"]])

    assert ("accuracy", 75.0, "accuracy|nrefs:1|version:1") == (score.name, score.value, score.signature)
    assert "accuracy = 75.00 (3/4)" == score.text
    assert score.higher_is_better


def test_macro_f1_counts_every_label_as_much_as_any_other() -> None:
    # a: right 2 of 3 predicted and 2 there, 2·2/5; b: 0; c: predicted never, 0 of 1
    score = build_f1(F1Config()).score(["a", "a", "a", "b"], [["a", "a", "c", "d"]])

    assert 100 * (4 / 5 + 0 + 0 + 0) / 4 == pytest.approx(score.value)
    assert ("f1", "f1|average:macro|version:1") == (score.name, score.signature)
    assert "f1 = 20.00 (macro, 4 labels)" == score.text


def test_all_right_is_a_hundred() -> None:
    assert 100.0 == build_f1(F1Config()).score(["a", "b"], [["a", "b"]]).value


@pytest.mark.parametrize(("hypotheses", "references"), [([], [[]]), (["a"], []), (["a"], [["a", "b"]])])
def test_what_has_no_partner_is_not_scored(hypotheses: list[str], references: list[list[str]]) -> None:
    for metric in (build_accuracy(AccuracyConfig()), build_f1(F1Config())):
        with pytest.raises(ValueError, match=r"nothing|zip|references"):
            metric.score(hypotheses, references)
