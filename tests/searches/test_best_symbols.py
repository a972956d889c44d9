"""The best symbols are those that a full ranking finds."""

from __future__ import annotations

from math import inf, nan

import pytest
import torch

from specforge.searches.best_symbols import best_symbol, best_symbols


@pytest.mark.parametrize("vocabulary", [7, 2_047, 2_048, 2_175, 8_003])
@pytest.mark.parametrize("count", [1, 6, 7])
@pytest.mark.parametrize("rows", [5, 20])
def test_they_are_those_of_a_full_ranking(vocabulary: int, count: int, rows: int) -> None:
    torch.manual_seed(1)
    values = torch.stack([torch.randperm(vocabulary).float() for _ in range(rows)])  # no two alike

    best, symbols = best_symbols(values, count)

    ranked = values.sort(dim=1, descending=True)
    assert torch.equal(best, ranked.values[:, :count])
    assert torch.equal(symbols, ranked.indices[:, :count])


@pytest.mark.parametrize("count", [1, 6])
def test_neighbours_do_not_say_which_of_equals_comes_first(count: int) -> None:
    torch.manual_seed(1)
    values = torch.randint(0, 4, (20, 4_000)).float()  # a thousand symbols share the largest value

    _, together = best_symbols(values, count)

    for row, symbols in enumerate(together):
        assert torch.equal(best_symbols(values[row : row + 1], count)[1][0], symbols)
        assert torch.equal(best_symbols(values[row : row + 7], count)[1][0], symbols)


@pytest.mark.parametrize("distance", [1, 128])
def test_they_may_all_stand_together(distance: int) -> None:
    """The best in one run, or one below the other in the grid that is looked through; nothing else is possible."""
    symbols = [1_000 + number * distance for number in range(5)]
    values = torch.full((20, 4_000), -inf)
    values[0, symbols] = torch.tensor([3.0, 1.0, 4.0, 2.0, 5.0])
    values[1, 3_999] = 0.5  # the last: in no column

    best, found = best_symbols(values, 5)

    assert best[0].tolist() == [5.0, 4.0, 3.0, 2.0, 1.0]
    assert found[0].tolist() == [symbols[place] for place in (4, 2, 0, 3, 1)]
    assert best[1].tolist() == [0.5, -inf, -inf, -inf, -inf]
    assert found[1, 0] == 3_999


@pytest.mark.parametrize("rows", [1, 20])
def test_what_is_not_a_number_is_not_passed_over(rows: int) -> None:
    values = torch.zeros(rows, 4_000)
    values[0, 77] = torch.nan

    assert bool(best_symbols(values, 2)[0].isnan().any())


@pytest.mark.parametrize("vocabulary", [7, 2_048, 2_049, 2_175, 8_003])
def test_the_best_is_what_argmax_finds(vocabulary: int) -> None:
    torch.manual_seed(1)
    values = torch.stack([torch.randperm(vocabulary).float() for _ in range(50)])
    values[1] = values[2] = values[3] = 0.0  # all alike
    values[2, -1] = 1.0
    values[3, [3, -1]] = nan
    values[4, -1] = nan
    values[5] = -inf
    values[6, 5] = values[6, -1] = 1e9

    assert torch.equal(best_symbol(values), values.argmax(dim=1))
    assert torch.equal(best_symbol(values[:7]), values[:7].argmax(dim=1))  # few rows take another way
