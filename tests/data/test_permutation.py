from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from specforge.data.permutation import Permutation, shuffled

_SEEDS = st.integers(0, 2**63 - 1)


@given(size=st.integers(1, 3_000), seed=_SEEDS)
def test_every_item_has_exactly_one_position(size: int, seed: int) -> None:
    items = Permutation(size, seed)(np.arange(size, dtype=np.int64))

    assert list(range(size)) == sorted(items.tolist())


@given(size=st.integers(1, 2**40), seed=_SEEDS, position=st.integers(0, 2**40 - 1))
def test_a_point_needs_no_other_point(size: int, seed: int, position: int) -> None:
    position %= size
    neighbours = np.arange(max(0, position - 3), min(size, position + 4), dtype=np.int64)

    together = Permutation(size, seed)(neighbours)
    alone = Permutation(size, seed)(np.array([position]))

    assert together[neighbours.tolist().index(position)] == alone[0]
    assert 0 <= alone[0] < size


def test_seeds_choose_different_orders() -> None:
    orders = {tuple(Permutation(50, seed)(np.arange(50)).tolist()) for seed in range(100)}

    assert 100 == len(orders)


def test_items_are_spread_evenly() -> None:
    # Over many seeds each of 10 items stands at the first position about equally often: 200 times, ± 5 deviations of 13.4.
    counts = np.bincount([Permutation(10, seed)(np.array([0]))[0] for seed in range(2_000)], minlength=10)

    assert np.all(np.abs(counts - 200) < 67)


@given(size=st.integers(0, 500), seed=_SEEDS)
def test_shuffled_is_a_permutation(size: int, seed: int) -> None:
    assert list(range(size)) == sorted(shuffled(size, seed).tolist())


def test_shuffled_depends_on_the_seed() -> None:
    assert shuffled(30, 1).tolist() == shuffled(30, 1).tolist()
    assert shuffled(30, 1).tolist() != shuffled(30, 2).tolist()
