"""ROUGE by hand, and its options; skipped where the extra is not installed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from specforge.metrics.rouge.config import RougeConfig
from specforge.metrics.rouge.metric import build

pytest.importorskip("rouge_score")


def value(config: RougeConfig, hypothesis: str, *references: str) -> float:
    return build(config).score([hypothesis], [[reference] for reference in references]).value


def test_variants_by_hand() -> None:
    hypothesis, reference = "the cat sat", "the cat on the mat sat"

    # 3 of 3 words are there, of 6; 1 of 2 pairs, of 5; the longest common subsequence has 3 words
    assert 100 * 2 * 1.0 * 0.5 / 1.5 == pytest.approx(value(RougeConfig(variant="rouge1"), hypothesis, reference))
    assert 100 * 2 * 0.5 * 0.2 / 0.7 == pytest.approx(value(RougeConfig(variant="rouge2"), hypothesis, reference))
    assert 100 * 2 * 1.0 * 0.5 / 1.5 == pytest.approx(value(RougeConfig(), hypothesis, reference))


def test_sentences_are_compared_one_by_one() -> None:
    marked = RougeConfig(variant="rougeLsum", sentence_mark="<q>")

    # the other way round: as one text half of the words are in order, sentence by sentence all are
    assert 50.0 == pytest.approx(value(RougeConfig(), "a b <q> c d".replace(" <q>", ""), "c d a b"))
    assert 100.0 == pytest.approx(value(marked, "a b<q>c d", "c d<q>a b"))


def test_the_nearest_of_several_references_counts() -> None:
    assert 100.0 == value(RougeConfig(variant="rouge1"), "a b", "x y", "b a")


def test_only_unicode_words_know_umlauts() -> None:
    assert 0.0 == value(RougeConfig(variant="rouge1"), "über", "für")
    assert 100.0 == value(RougeConfig(variant="rouge1"), "über", "Ber")  # what is left of it
    assert 0.0 == value(RougeConfig(variant="rouge1", tokenize="unicode"), "über", "Ber")
    assert 100.0 == value(RougeConfig(variant="rouge1", tokenize="unicode"), "Über", "über")


def test_stems_are_taken_where_they_are_asked_for() -> None:
    assert 0.0 == value(RougeConfig(variant="rouge1"), "running", "run")
    assert 100.0 == value(RougeConfig(variant="rouge1", stemmer=True), "runs", "run")


def test_the_score_is_the_mean_over_texts_and_its_signature_says_how() -> None:
    metric = build(RougeConfig(variant="rouge1", stemmer=True))
    hypotheses, references = ["a", "b"], [["a", "x"]]

    score = metric.score(hypotheses, references)

    assert [100.0, 0.0] == metric.sentence_scores(hypotheses, references)
    assert ("rouge1", 50.0, "rouge1 = 50.00 (F1)") == (score.name, score.value, score.text)
    assert score.signature.startswith("rouge1|nrefs:1|tok:english|stem:porter|rouge-score:")


def test_sentences_without_a_mark_are_odd() -> None:
    assert ["variant"] == [oddity.key for oddity in RougeConfig(variant="rougeLsum").oddities()]
    assert () == RougeConfig(variant="rougeLsum", sentence_mark="<q>").oddities()
    assert () == RougeConfig().oddities()


@pytest.mark.parametrize(
    "wrong",
    [
        {"stemmer": True, "tokenize": "unicode"},
        {"variant": "rougeL", "sentence_mark": "<q>"},
    ],
)
def test_options_that_do_not_go_together_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RougeConfig.model_validate(wrong)
