"""What people read of two models, their scores and their validations."""

from __future__ import annotations

import pytest

from specforge.cli.diff_report import Training
from specforge.cli.views.diff_figures import model_rows, score_rows, validation_rows
from specforge.planning.comparison.compatibility import Loading, fit
from specforge.planning.comparison.curves import Curve, Validated, side_by_side
from specforge.planning.comparison.outcomes import ScorePair, StoredScore
from specforge.planning.estimates import Estimates

NAMES = ("a.toml", "b.toml")
SHAPES = {"embedding": [10, 8], "layer": [8, 8], "bias": [8]}


def estimates(
    parameters: int = 100, flop: float | None = 1e9, updates: int | None = 1_000, approximate: tuple[str, ...] = ()
) -> Estimates:
    return Estimates(
        parameters=parameters,
        trainable=parameters,
        by_part={},
        flop_per_update=flop,
        updates=updates,
        approximate=list(approximate),
    )


def rows(before: Estimates, after: Estimates, loading: Loading | None = None) -> list[tuple[str, ...]]:
    loading = loading or Loading(fit(SHAPES, SHAPES), {}, 0, (), same_text=True)
    return list(model_rows(Training((before, after), loading), NAMES, []))


def checkpoint(loading: Loading, *causes: tuple[str, str, str]) -> list[str]:
    found = model_rows(Training((estimates(), estimates()), loading), NAMES, causes)
    return [text for title, text in list(found)[2:]]


def test_parameters_and_work_come_with_their_ratio() -> None:
    found = rows(estimates(60_522_496, 1.2e13, 100_000), estimates(209_125_376, 4.1e13, 100_000))

    assert [("parameters", "60.5 M → 209.1 M (3.5×)"), ("work", "1.2e18 → 4.1e18 FLOP (3.4×)")] == found[:2]


def test_what_is_equal_is_said_once() -> None:
    assert [("parameters", "100 in both"), ("work", "1.0e12 FLOP in both")] == rows(estimates(), estimates())[:2]


def test_a_guess_is_marked() -> None:
    found = rows(estimates(100), estimates(103, approximate=("parameters", "flop_per_update")))

    assert [("parameters", "100 → ≈ 103 (1.03×)"), ("work", "1.0e12 → ≈ 1.0e12 FLOP (1×)")] == found[:2]


def test_work_without_an_end_is_that_of_an_update() -> None:
    assert ("work", "1.0e09 → 2.0e09 FLOP per update (2×)") == rows(
        estimates(updates=None), estimates(flop=2e9, updates=10)
    )[1]
    assert "work" not in [row[0] for row in rows(estimates(flop=None), estimates())]


@pytest.mark.parametrize(
    ("same_text", "more"),
    [
        (True, []),
        (False, ["but vocabulary or tokenizer differ: the same row stands for another piece"]),
        (None, ["but preprocess differs: the same row may stand for another piece"]),
    ],
)
def test_a_checkpoint_that_loads_may_mean_something_else(same_text: bool | None, more: list[str]) -> None:  # noqa: FBT001
    found = checkpoint(Loading(fit(SHAPES, SHAPES), {}, 0, (), same_text=same_text))

    assert ["of a.toml loads in b.toml: 3 of 3 tensors", *more] == found


def test_tensors_that_do_not_fit_are_named_with_the_fields_to_blame() -> None:
    found = fit(SHAPES, {"embedding": [12, 16], "layer": [16, 16], "more": [1]})
    loading = Loading(found, {"source": (10, 12), "target": (10, 12)}, 1, (), same_text=False)

    assert [
        "not loadable: 2 of 3 tensors change shape, 1 only in a.toml, 1 only in b.toml",
        "embedding   [10, 8] → [12, 16]",
        "layer       [8, 8] → [16, 16]",
        "bias        only in a.toml",
        "more        only in b.toml",
        "1 tensor by the vocabulary (10 → 12 types) alone",
        "because of model.embed_dim   8 :3:4   16 :5:6",
    ] == checkpoint(loading, ("model.embed_dim", "8 :3:4", "16 :5:6"))


def test_many_tensors_are_cut_short() -> None:
    many = {f"layer.{number}": [number] for number in range(20)}
    found = checkpoint(Loading(fit(many, {name: [9, 9] for name in many}), {}, 0, (), same_text=True))

    assert ["not loadable: 20 of 20 tensors change shape", "layer.0       [0] → [9, 9]"] == found[:2]
    assert "and 16 more" == found[-1]
    assert 6 == len(found)


def test_a_guessed_vocabulary_is_no_verdict() -> None:
    loading = Loading(
        fit(SHAPES, {**SHAPES, "embedding": [12, 8]}),
        {"source": (10, 12), "target": (9, 9)},
        1,
        (),
        same_text=None,
        guessed=(False, True),
    )

    assert [
        "not known until preprocess of b.toml has run: its vocabulary is a guess",
        "1 of 3 tensors has its size",
        "embedding   [10, 8] → [12, 8]",
        "1 tensor by the vocabulary (source 10 → ≈ 12, target 9 → ≈ 9 types) alone",
    ] == checkpoint(loading)


def test_names_of_tensors_cannot_move_the_cursor() -> None:
    found = checkpoint(Loading(fit({"a\x1b[2J": [1]}, {}), {}, 0, (), same_text=True))

    assert ["not loadable: 1 tensor only in a.toml", "a\\x1b[2J   only in a.toml"] == found


def pair(before: float | None, after: float | None, **facts: object) -> ScorePair:
    scores = (
        None if value is None else StoredScore(name="bleu", value=value, signature="s") for value in (before, after)
    )
    return ScorePair(("test", "test"), *scores, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scored", "difference", "verdict"),
    [
        (pair(30.0, 31.5, p_value=0.012), " +1.50", "p = 0.012: b.toml is better"),
        (pair(31.5, 30.0, p_value=0.012), " -1.50", "p = 0.012: a.toml is better"),
        (pair(30.0, 30.1, p_value=0.31), " +0.10", "p = 0.310: not significant"),
        (pair(30.0, 30.0), " +0.00", "equal"),
        (pair(30.0, 31.0, remark="29 sentences are too few to tell"), " +1.00", "29 sentences are too few to tell"),
        (pair(30.0, 31.0, problem="other test data (source)"), "", "not comparable: other test data (source)"),
        (pair(30.0, None), "", "b.toml has none yet"),
    ],
)
def test_a_score_says_what_its_p_value_means(scored: ScorePair, difference: str, verdict: str) -> None:
    head, row = score_rows([scored], NAMES)

    assert ("test", "metric", "a.toml", "b.toml", "difference", "") == head
    assert (difference, verdict) == row[-2:]


def test_a_test_of_two_names_and_one_that_is_missing() -> None:
    score = StoredScore(name="bleu", value=1.0, signature="s")

    _, both, missing = score_rows([ScorePair(("a", "b"), score, score), ScorePair(("c", None), score, None)], NAMES)
    assert "a = b" == both[0]
    assert ("c", "b.toml has no such test") == (missing[0], missing[-1])


def test_validations_stand_side_by_side() -> None:
    one = Curve("bleu", 20, (Validated(10, {"ppl": 9.0, "bleu": 1.0}), Validated(20, {"ppl": 8.0, "bleu": 2.0})))
    other = Curve("ppl", None, (Validated(10, {"ppl": 7.5, "bleu": 3.0}),))

    assert [
        ("validation", "ppl", "", "bleu", "", ""),
        ("updates", "a.toml", "b.toml", "a.toml", "b.toml", ""),
        ("     10", "  9.00", "  7.50", "  1.00", "  3.00", ""),
        ("best", "  8.00", "     -", "  2.00", "     -", "at 20 by bleu, none yet by ppl"),
    ] == list(validation_rows(side_by_side(one, other), NAMES))
