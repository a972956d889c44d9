"""Which tests and scores belong together, and what a p-value means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from specforge.planning.comparison.outcomes import (
    FEWEST_SENTENCES,
    PairOfTests,
    ScorePair,
    Significance,
    StoredScore,
    pairs_of_tests,
    score_pairs,
)
from specforge.planning.plan import InputFile, State, Step, StepKind


def steps(name: str, source: str = "s", target: str = "t", **data: JsonValue) -> list[Step]:
    """Return the steps of one test, whose files have these digests."""

    def step(kind: StepKind, role: str, digest: str) -> Step:
        file = InputFile(f"test/{role}", Path(f"{name}.{role}"), digest, 3)
        config: dict[str, JsonValue] = {"data": {"test": {"format": "text", **data}}}
        return Step(f"{kind}.{name}", kind, "k", State.RUN, "", (), {}, (file,), config, {})

    return [step("generate", "source", source), step("score", "target", target)]


def found(before: list[Step], after: list[Step]) -> list[tuple[str | None, str | None, str | None]]:
    return [(*pair.names, pair.problem) for pair in pairs_of_tests(before, after)]


def test_tests_of_one_name_belong_together() -> None:
    assert [("a", "a", None)] == found(steps("a"), steps("a"))
    assert [("a", "a", "other test data (source)")] == found(steps("a"), steps("a", source="x"))
    assert [("a", "a", "other test data (source, target)")] == found(steps("a"), steps("a", "x", "y"))
    assert [("a", "a", "the test data are read otherwise")] == found(steps("a"), steps("a", header=True))


def test_rows_held_out_by_another_seed_are_other_data() -> None:
    before, after = ([replace(step, config={**step.config, "seed": seed}) for step in steps("a")] for seed in (1, 2))

    assert [("a", "a", "the test data are read otherwise")] == found(before, after)


def test_equal_data_under_two_names_belong_together() -> None:
    before, after = [*steps("a"), *steps("b", "x")], [*steps("c", "x"), *steps("d", "y")]

    assert [("a", None, None), ("b", "c", None), (None, "d", None)] == found(before, after)


def test_equal_data_serve_one_pair_only() -> None:
    assert [("a", "c", None), ("b", None, None)] == found([*steps("a"), *steps("b")], steps("c"))


def score(
    value: float, name: str = "bleu", signature: str = "case:mixed|tok:13a", *, higher: bool = True
) -> StoredScore:
    return StoredScore(name=name, value=value, signature=signature, higher_is_better=higher)


def pairs(before: list[StoredScore], after: list[StoredScore], problem: str | None = None) -> list[ScorePair]:
    (test,) = pairs_of_tests(steps("a"), steps("a"))
    return [pair for _, pair in score_pairs(PairOfTests(test.before, test.after, problem), before, after)]


def test_scores_of_one_signature_belong_together_in_any_order() -> None:
    lower = score(3, signature="case:lc|tok:13a")
    first, second = pairs([score(1), lower], [lower, score(2)])

    assert (score(1), score(2), 1.0) == (first.before, first.after, first.difference)
    assert (lower, lower, 0.0) == (second.before, second.after, second.difference)


def test_scores_of_two_signatures_stand_together_and_are_not_compared() -> None:
    (pair,) = pairs([score(1)], [score(2, signature="case:lc|tok:13a")])

    assert ("case:mixed against case:lc", None) == (pair.problem, pair.difference)


def test_a_score_is_not_taken_from_one_that_has_its_signature() -> None:
    first, second = pairs([score(3, signature="case:lc|tok:13a"), score(1)], [score(2)])

    assert first.after is None
    assert (score(1), score(2), None) == (second.before, second.after, second.problem)


def test_a_score_that_only_one_has_stands_alone() -> None:
    first, second = pairs([score(1)], [score(2, "chrf")])

    assert ("bleu", None, None) == (first.metric, first.after, first.problem)
    assert ("chrf", None) == (second.metric, second.before)


def test_scores_of_other_data_have_no_difference() -> None:
    (pair,) = pairs([score(1)], [score(2)], "other test data (source)")

    assert pair.difference is None


@pytest.mark.parametrize(
    ("after", "higher", "p_value", "better"),
    [(2, True, 0.04, "b"), (0, True, 0.04, "a"), (2, False, 0.04, "a"), (0, False, 0.04, "b"), (2, True, 0.05, None)],
)
def test_a_small_p_value_says_which_is_better(
    after: float,
    higher: bool,  # noqa: FBT001  # a column of the table
    p_value: float,
    better: str | None,
) -> None:
    (pair,) = pairs([score(1, higher=higher)], [score(after, higher=higher)])
    told = pair.with_significance(Significance(sentences=100, same_references=True, p_values=[p_value]), p_value)

    assert (p_value, better) == (told.p_value, told.better)


def test_what_resampling_cannot_tell_is_said() -> None:
    (pair,) = pairs([score(1)], [score(2)])
    few = Significance(sentences=FEWEST_SENTENCES - 1, same_references=True, p_values=[None])
    other = Significance(sentences=100, same_references=False, p_values=[None])
    silent = Significance(sentences=100, same_references=True, p_values=[None])
    enough = Significance(sentences=FEWEST_SENTENCES, same_references=True, p_values=[0.5])

    assert (0.5, None) == (pair.with_significance(enough, 0.5).p_value, pair.with_significance(enough, 0.5).remark)
    assert "29 sentences are too few to tell" == pair.with_significance(few, None).remark
    assert pair.with_significance(other, None).difference is None
    assert "no significance for bleu: it scores no sentences" == pair.with_significance(silent, None).remark
