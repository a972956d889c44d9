"""Two trainings side by side: their validations at common updates, and what of them may be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_MOST_ROWS: Final = 6
_LOSSES: Final = ("loss", "ppl")


@dataclass(frozen=True, slots=True)
class Validated:
    """One validation: updates done, and its figures by name (`loss`, `ppl`, `bleu`)."""

    updates: int
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """The validations of one training.

    Args:
        best_metric: `train.best_metric`.
        best_updates: updates at the best of them; None where there is none.
        validations: oldest first, the last weights' own included.
        done: whether training has ended.
    """

    best_metric: str
    best_updates: int | None
    validations: tuple[Validated, ...]
    done: bool = True

    @property
    def best(self) -> Validated | None:
        """The best validation, by `best_metric`."""
        return next((one for one in self.validations if one.updates == self.best_updates), None)


@dataclass(frozen=True, slots=True)
class Curves:
    """Two trainings side by side.

    Args:
        before, after: all of each.
        figures: names of the figures to show: those that both have.
        common: validations at the same number of updates, a few of them, the first and the last included.
    """

    before: Curve
    after: Curve
    figures: tuple[str, ...]
    common: tuple[tuple[Validated, Validated], ...]


def side_by_side(before: Curve, after: Curve) -> Curves:
    """Return two trainings side by side."""
    second = {one.updates: one for one in after.validations}
    common = [(one, second[one.updates]) for one in before.validations if one.updates in second]
    return Curves(before, after, tuple(_figures(before, after)), tuple(_a_few(common)))


def _figures(before: Curve, after: Curve) -> Iterator[str]:
    """Yield loss and perplexity, and the score that either training is judged by, where both have it."""
    names = dict.fromkeys((*_LOSSES, before.best_metric, after.best_metric))
    known = [{name for one in curve.validations for name in one.figures} for curve in (before, after)]
    yield from (name for name in names if all(name in figures for figures in known))


def _a_few(rows: Sequence[tuple[Validated, Validated]]) -> Iterator[tuple[Validated, Validated]]:
    if len(rows) <= _MOST_ROWS:
        yield from rows
        return
    last = len(rows) - 1
    for number in range(_MOST_ROWS):
        yield rows[round(number * last / (_MOST_ROWS - 1))]
