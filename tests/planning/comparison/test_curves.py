"""Two trainings side by side."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from specforge.planning.comparison.curves import Curve, Validated, side_by_side


def curve(updates: Iterable[int], *names: str, metric: str = "loss", best: int | None = None) -> Curve:
    """Return a training whose figures are all its updates divided by a hundred."""
    return Curve(metric, best, tuple(Validated(each, dict.fromkeys(names, each / 100)) for each in updates))


def test_validations_meet_at_equal_updates() -> None:
    found = side_by_side(curve([10, 20, 30], "loss", "ppl"), curve([20, 30, 40], "loss", "ppl"))

    assert [(20, 20), (30, 30)] == [(one.updates, other.updates) for one, other in found.common]
    assert ("loss", "ppl") == found.figures


def test_figures_are_those_that_both_have() -> None:
    bleu = curve([10], "loss", "nll", "ppl", "bleu", metric="bleu")

    assert ("loss", "ppl") == side_by_side(bleu, curve([10], "loss", "nll", "ppl")).figures
    assert ("loss", "ppl", "bleu") == side_by_side(bleu, bleu).figures


@given(st.sets(st.integers(1, 500)), st.sets(st.integers(1, 500)))
def test_a_few_of_the_common_updates_with_the_first_and_the_last(one: set[int], other: set[int]) -> None:
    shown = [pair[0].updates for pair in side_by_side(curve(sorted(one), "loss"), curve(sorted(other), "loss")).common]

    common = sorted(one & other)
    assert shown == sorted(set(shown))
    assert set(shown) <= set(common)
    assert min(len(common), 6) == len(shown)
    assert (common[:1], common[-1:]) == (shown[:1], shown[-1:])


def test_the_best_is_the_one_after_so_many_updates() -> None:
    found = curve([10, 20], "loss", best=20).best

    assert found is not None
    assert 20 == found.updates
    assert curve([10], "loss").best is None
