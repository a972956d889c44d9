"""Accuracy and macro F1, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=20))
def test_f1_is_the_mean_of_harmonic_means_of_precision_and_recall(pairs: list[tuple[str, str]]) -> None:
    """As scikit-learn defines `f1_score(average="macro", zero_division=0)`, over the labels that occur on either side."""
    hypotheses, references = map(list, zip(*pairs, strict=True))
    scores = []
    for label in {*hypotheses, *references}:
        right = sum(one == other == label for one, other in pairs)
        precision = right / hypotheses.count(label) if label in hypotheses else 0.0
        recall = right / references.count(label) if label in references else 0.0
        scores.append(2 * precision * recall / (precision + recall) if right else 0.0)

    found = build_f1(F1Config()).score(hypotheses, [references])

    assert found.value == pytest.approx(100 * sum(scores) / len(scores))
