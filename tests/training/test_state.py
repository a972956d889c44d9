"""What follows from a list of validations, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specforge.training.state import Limits, Selection, TrainingState, Validation

_LOSS = Selection("loss", higher_is_better=False, average_last=2)
_BLEU = Selection("bleu", higher_is_better=True, average_last=3)


def _validations(name: str, *values: float) -> list[Validation]:
    return [
        Validation(updates=10 * number, epoch=number, values={name: value}, snapshot=f"s{number}")
        for number, value in enumerate(values, 1)
    ]


@pytest.mark.parametrize(
    ("selection", "values", "best"),
    [
        (_LOSS, [3.0, 2.0, 2.5], "s2"),
        (_LOSS, [3.0, 2.0, 2.0], "s2"),  # of equal ones the earlier
        (_BLEU, [10.0, 30.0, 20.0], "s2"),
        (_BLEU, [30.0, 30.0], "s1"),
    ],
)
def test_the_best_is_strictly_better_than_those_before(selection: Selection, values: list[float], best: str) -> None:
    found = selection.best(_validations(selection.metric, *values))

    assert found is not None
    assert best == found.snapshot


def test_without_a_validation_there_is_no_best() -> None:
    assert _LOSS.best([]) is None
    assert 0 == _LOSS.without_improvement([])
    assert set() == _LOSS.needed([]) == _LOSS.kept([])


def test_the_average_is_of_the_last_and_the_best_is_kept_beside_it() -> None:
    validations = _validations("loss", 1.0, 3.0, 2.0, 2.5)

    assert ["s3", "s4"] == [validation.snapshot for validation in _LOSS.averaged(validations)]
    assert {"s1", "s3", "s4"} == _LOSS.needed(validations) == _LOSS.kept(validations)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, []), (1, ["s2"]), (2, ["s2", "s4"]), (3, ["s1", "s2", "s4"]), (9, ["s1", "s2", "s3", "s4"])],
)
def test_another_average_is_of_the_best_of_equal_ones_the_earlier(count: int, expected: list[str]) -> None:
    selection = replace(_LOSS, average_last=1, average_best=count)
    validations = _validations("loss", 2.5, 1.0, 2.5, 2.0)

    assert expected == [validation.snapshot for validation in selection.best_averaged(validations)]
    assert {*expected, "s2", "s4"} == selection.needed(validations) == selection.kept(validations)


def test_of_a_metric_the_best_are_the_highest() -> None:
    selection = replace(_BLEU, average_best=2)

    best = selection.best_averaged(_validations("bleu", 20.0, 30.0, 10.0, 25.0))

    assert ["s2", "s4"] == [validation.snapshot for validation in best]


def test_what_is_only_kept_is_not_needed() -> None:
    selection = replace(_LOSS, average_last=1, keep_best=3)
    validations = _validations("loss", 1.0, 3.0, 4.0, 2.0, 5.0)

    assert {"s1", "s5"} == selection.needed(validations)
    assert {"s1", "s2", "s4", "s5"} == selection.kept(validations)


@given(st.lists(st.floats(-1e3, 1e3), max_size=12), st.integers(0, 5), st.integers(1, 5), st.integers(1, 5))
def test_what_is_needed_later_was_kept_all_the_time(
    values: list[float], average_best: int, average_last: int, keep_best: int
) -> None:
    selection = replace(_LOSS, average_last=average_last, average_best=average_best, keep_best=keep_best)
    validations = _validations("loss", *values)

    for count in range(len(validations)):
        later = selection.kept(validations[: count + 1]) - {validations[count].snapshot}
        assert later <= selection.kept(validations[:count])


@pytest.mark.parametrize(("values", "expected"), [([5.0], 0), ([5.0, 4.0], 0), ([4.0, 5.0], 1), ([4.0, 4.0, 6.0], 2)])
def test_validations_without_improvement(values: list[float], expected: int) -> None:
    assert expected == _LOSS.without_improvement(_validations("loss", *values))


@pytest.mark.parametrize(
    ("limits", "ending"),
    [
        (Limits(max_updates=31), None),
        (Limits(max_updates=30), "max_updates"),
        (Limits(max_epochs=3), None),
        (Limits(max_epochs=2), "max_epochs"),
        (Limits(max_updates=99, patience=2), None),
        (Limits(max_updates=99, patience=1), "patience"),
    ],
)
def test_limits(limits: Limits, ending: str | None) -> None:
    state = TrainingState(updates=30, epoch=3, position=0, validations=_validations("loss", 2.0, 1.0, 1.5))

    assert ending == limits.reached(state, _LOSS)


@pytest.mark.parametrize(
    ("limits", "exceeded"),
    [
        (Limits(max_updates=35), False),
        (Limits(max_updates=34), True),
        (Limits(max_epochs=4), False),
        (Limits(max_epochs=3), True),  # the fourth epoch has begun
        (Limits(patience=2), False),  # at 40 it will end; it has not ended before
        (Limits(patience=1), True),  # it would have ended at 30
    ],
)
def test_a_state_beyond_the_limits(limits: Limits, exceeded: bool) -> None:  # noqa: FBT001  # an expected value
    state = TrainingState(updates=35, epoch=4, position=2, validations=_validations("loss", 2.0, 1.0, 1.5))

    assert exceeded == limits.exceeded(state, _LOSS)


def test_the_end_of_an_epoch_is_within_it() -> None:
    state = TrainingState(updates=30, epoch=4, position=0)

    assert 3 == state.last_epoch
    assert not Limits(max_epochs=3).exceeded(state, _LOSS)


def test_where_patience_ends_is_not_beyond_it() -> None:
    state = TrainingState(updates=30, epoch=4, validations=_validations("loss", 2.0, 1.0, 1.5))

    assert not Limits(patience=1).exceeded(state, _LOSS)
    assert "patience" == Limits(patience=1).reached(state, _LOSS)


def test_a_state_is_validated_when_its_last_validation_is_of_its_update() -> None:
    assert TrainingState(updates=20, validations=_validations("loss", 2.0, 1.0)).validated
    assert not TrainingState(updates=21, validations=_validations("loss", 2.0, 1.0)).validated
    assert not TrainingState().validated


def test_a_validation_that_is_not_the_best_says_which_is_and_what_patience_is_left() -> None:
    selection, validations = (
        Selection("loss", higher_is_better=False, average_last=1),
        _validations("loss", 3.0, 2.0, 2.5),
    )

    assert "best loss 2.00 after 20" == Limits().standing(validations, selection)
    assert "best loss 2.00 after 20, patience 1 of 2 left" == Limits(patience=2).standing(validations, selection)
    assert "" == Limits(patience=2).standing([], selection)
