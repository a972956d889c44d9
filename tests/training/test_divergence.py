from __future__ import annotations

from specforge.training.divergence import Divergence


def _warned(*lines: tuple[float, int]) -> list[bool]:
    """Return for each line (loss, updates it is the mean of) whether there is a warning."""
    found = Divergence()
    return [found.warning(loss, 50 * number, applied) is not None for number, (loss, applied) in enumerate(lines, 1)]


def test_a_loss_half_as_much_again_above_the_lowest_draws_one_warning_a_rise() -> None:
    assert [False, False, True, False, False, True] == _warned(
        (6.0, 50), (4.0, 50), (6.1, 50), (7.0, 50), (5.0, 50), (6.1, 50)
    )


def test_less_than_a_bit_more_is_nothing() -> None:
    assert [False, False, True] == _warned((0.1, 50), (0.9, 50), (1.2, 50))


def test_a_mean_of_a_few_updates_says_nothing() -> None:
    assert [False, False, False] == _warned((1.0, 9), (4.0, 50), (9.0, 9))


def test_the_warning_states_its_rule() -> None:
    found = Divergence()
    found.warning(4.0, 50, 50)

    assert (
        "the loss is 8.00 bits after 1,000 updates, more than 1.5 times the 4.00 of update 50: training may be diverging; it "
        "goes on" == found.warning(8.0, 1_000, 50)
    )
