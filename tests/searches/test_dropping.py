"""Those that go on stay where they are, but for those that close the gaps."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from specforge.searches.dropping import closed_up


def test_the_last_take_the_places_of_those_that_are_done() -> None:
    assert [0, 4, 2, 5] == closed_up(torch.tensor([True, False, True, False, True, True])).tolist()


@given(st.lists(st.booleans(), max_size=20))
def test_all_that_stay_are_there_and_most_have_not_moved(staying: list[bool]) -> None:
    kept = closed_up(torch.tensor(staying, dtype=torch.bool)).tolist()

    assert sorted(kept) == [number for number, stays in enumerate(staying) if stays]
    moved = [number for place, number in enumerate(kept) if number != place]
    assert all(number >= len(kept) for number in moved)
