"""A budget that is odd once the number of updates in an epoch is known draws a warning at its line."""

from __future__ import annotations

import pytest
from small_experiment import SmallExperiment

from specforge.language.messages.diagnostics import Diagnostic
from specforge.planning.estimates import Estimates
from specforge.planning.lints import lint_budget


def found(small: SmallExperiment, updates_per_epoch: float | None, *assignments: str) -> list[Diagnostic]:
    """Return the warnings of the small experiment, which has 4 updates, at so many updates an epoch."""
    estimates = Estimates(parameters=1, trainable=1, by_part={}, updates_per_epoch=updates_per_epoch)
    return list(lint_budget(small.spec(*assignments), estimates))


@pytest.mark.parametrize(
    ("updates_per_epoch", "assignments"),
    [
        (4.0, []),  # one epoch
        (2.0, ["train.max_epochs=20"]),  # ten times as long: a cap
        (2.0, ["train.max_updates=20", "train.max_epochs=1"]),
        (10.0, ["unset=['train.max_updates']", "train.max_epochs=1"]),
        (10.0, ["lr_scheduler={use='cosine'}", "train.max_epochs=1", "train.max_updates=10"]),
        (None, ["train.max_epochs=1000"]),
    ],
)
def test_an_ordinary_budget_draws_none(
    small: SmallExperiment, updates_per_epoch: float | None, assignments: list[str]
) -> None:
    assert [] == found(small, updates_per_epoch, *assignments)


@pytest.mark.parametrize(
    ("updates_per_epoch", "assignments", "message"),
    [
        (4.1, [], "training ends in its first epoch, which takes about 4 updates"),
        (2.0, ["train.max_epochs=21"], "`max_epochs` is never reached: 21 epochs take about 42 updates"),
        (
            2.0,
            ["train.max_updates=21", "train.max_epochs=1"],
            "`max_updates` is never reached: `max_epochs` ends training at about update 2",
        ),
        (
            10.0,
            ["lr_scheduler={use='cosine'}", "train.max_epochs=1", "train.max_updates=11"],
            "`max_updates` is never reached: `max_epochs` ends training at about update 10",
        ),
    ],
)
def test_an_odd_one_is_named(
    small: SmallExperiment, updates_per_epoch: float, assignments: list[str], message: str
) -> None:
    (warning,) = found(small, updates_per_epoch, *assignments)

    assert ("SF416", "warning", message) == (warning.code, warning.severity, warning.message)


def test_it_is_drawn_at_the_line_of_the_budget(small: SmallExperiment) -> None:
    line = (small.folder / "small.toml").read_text().split("\n").index("max_updates = 4") + 1

    (warning,) = found(small, 100.0)

    (label,) = warning.labels
    assert (line, 15, True) == (label.place.line, label.place.column, label.primary)


def test_allow_silences_it(small: SmallExperiment) -> None:
    assert [] == found(small, 100.0, "allow=['SF416']")
