"""Exact match, by hand."""

from __future__ import annotations

import pytest

from specforge.metrics.exact_match.config import ExactMatchConfig
from specforge.metrics.exact_match.metric import build


def test_counts_lines_that_equal_their_reference() -> None:
    score = build(ExactMatchConfig()).score(["a b", "A", "c ", ""], [["a b", "a", "c", ""]])

    assert 50.0 == score.value  # case and spaces count, two empty lines are equal
    assert ("exact_match", "exact_match|nrefs:1|version:1") == (score.name, score.signature)
    assert "exact_match = 50.00 (2/4)" == score.text
    assert score.higher_is_better


def test_any_of_several_references_will_do() -> None:
    score = build(ExactMatchConfig()).score(["a", "b", "c"], [["a", "x", "x"], ["x", "b", "x"]])

    assert 200 / 3 == pytest.approx(score.value)
    assert "exact_match|nrefs:2|version:1" == score.signature


@pytest.mark.parametrize(
    ("hypotheses", "references"), [([], [[]]), (["a"], []), (["a"], [["a", "b"]]), (["a", "b"], [["a"]])]
)
def test_lines_without_a_partner_are_not_scored(hypotheses: list[str], references: list[list[str]]) -> None:
    with pytest.raises(ValueError, match=r"nothing|zip"):
        build(ExactMatchConfig()).score(hypotheses, references)
