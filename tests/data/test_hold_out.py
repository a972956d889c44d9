"""The split of rows into sides: disjoint, steady, by share."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from specforge.data.hold_out import HoldOut

SEEDS = st.integers(0, 2**63 - 1)


def sides(hold_out: HoldOut, rows: int) -> list[str]:
    return [hold_out.side(number, (f"source {number}", f"target {number % 7}")) for number in range(rows)]


def test_shares_are_met() -> None:
    counts = Counter(sides(HoldOut(seed=1, valid=0.1, test=0.05), 20_000))

    # three standard deviations of a binomial count: sqrt(20,000 * 0.1 * 0.9) = 42 and sqrt(20,000 * 0.05 * 0.95) = 31
    assert abs(counts["valid"] - 2_000) < 127
    assert abs(counts["test"] - 1_000) < 93


def test_the_split_stays_what_it_is() -> None:
    # Results are found by keys that do not know the hash: if it changes, old and new steps split one corpus differently.
    letters = {"train": ".", "valid": "v", "test": "t"}
    assert (
        "".join(letters[side] for side in sides(HoldOut(seed=1, valid=0.3, test=0.3), 24)) == "t..vvttvv..v.v.t...vv..t"
    )


def test_the_seed_chooses() -> None:
    assert sides(HoldOut(seed=1, valid=0.5, test=0.0), 100) != sides(HoldOut(seed=2, valid=0.5, test=0.0), 100)


@settings(max_examples=50)
@given(SEEDS, st.text(), st.integers(0, 10**6), st.integers(0, 10**6))
def test_rows_equal_in_the_distinct_column_stay_together(seed: int, text: str, first: int, second: int) -> None:
    hold_out = HoldOut(seed, valid=0.3, test=0.3, distinct=1)

    assert hold_out.side(first, ("a", text)) == hold_out.side(second, ("b", text))


@given(SEEDS, st.integers(0, 10**6))
def test_a_share_for_the_test_leaves_validation_alone(seed: int, number: int) -> None:
    without, with_test = HoldOut(seed, valid=0.2, test=0.0), HoldOut(seed, valid=0.2, test=0.3)

    assert (without.side(number, ("",)) == "valid") == (with_test.side(number, ("",)) == "valid")
