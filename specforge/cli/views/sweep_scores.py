"""The table at the end of a sweep: points and their scores, the best of each column marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from specforge.cli.views.output import columns
from specforge.cli.views.sweep_values import cells, heads
from specforge.execution.sweeps.sweep_folder import PointOutcome
from specforge.foundation.terminal import printable

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.spec import Sweep

_BEST: Final = "*"


@dataclass(frozen=True, slots=True)
class _Column:
    """A score that points have.

    Args:
        test: name of the test.
        index: which of its scores.
        head: what to call it.
        signatures: the signatures that it has at the points.
        best: the best value; None where values mean different things, or there is but one.
    """

    test: str
    index: int
    head: str
    signatures: tuple[str, ...]
    best: float | None


class SweepScores:
    """The scores of a sweep.

    Args:
        sweep: the sweep.
        outcomes: what came of each point.
    """

    def __init__(self, sweep: Sweep, outcomes: Sequence[PointOutcome]) -> None:
        self._sweep = sweep
        self._outcomes = outcomes
        tests = list(dict.fromkeys(test for outcome in outcomes for test in outcome.scores))
        self._columns = [column for test in tests for column in self._of_test(test, is_named=len(tests) > 1)]

    def lines(self) -> Iterator[str]:
        """Yield the table."""
        states = [outcome.state for outcome in self._outcomes]
        tells_state = not self._columns or any(state != "done" for state in states)
        rows = [[*heads(self._sweep), *(column.head for column in self._columns), *(["state"] if tells_state else [])]]
        for outcome in self._outcomes:
            state = outcome.state if outcome.error is None else f"{outcome.state}: {outcome.error.code}"
            shown = [_cell(column, _score(outcome, column)) for column in self._columns]
            rows.append([*cells(self._sweep, outcome.point), *shown, *([state] if tells_state else [])])
        yield from columns(rows, indent="")
        if any(column.best is not None for column in self._columns):
            yield f"\n{_BEST} the best of its column"
        for column in self._columns:
            if len(column.signatures) > 1:
                yield f"{column.head} is computed in {len(column.signatures)} ways here, which do not compare:"
                yield from (f"  {printable(signature)}" for signature in column.signatures)

    def best(self) -> PointOutcome | None:
        """Return the point that is best by the first column that has a best."""
        column = next((column for column in self._columns if column.best is not None), None)
        if column is None:
            return None
        return next(outcome for outcome in self._outcomes if _is_best(column, _score(outcome, column)))

    def _of_test(self, test: str, *, is_named: bool) -> Iterator[_Column]:
        most = max(len(outcome.scores.get(test, ())) for outcome in self._outcomes)
        for index in range(most):
            scores = [
                outcome.scores[test][index] for outcome in self._outcomes if len(outcome.scores.get(test, ())) > index
            ]
            names = list(dict.fromkeys(str(score["name"]) for score in scores))
            name = printable("/".join(names))
            signatures = tuple(dict.fromkeys(str(score["signature"]) for score in scores))
            yield _Column(test, index, f"{printable(test)} {name}" if is_named else name, signatures, _best(scores))


def _best(scores: Sequence[Mapping[str, JsonValue]]) -> float | None:
    """Return the best of some values, or None where there is nothing to choose."""
    meanings = {(score["name"], score["signature"], score.get("higher_is_better", True)) for score in scores}
    values = [float(value) for score in scores if isinstance(value := score["value"], int | float)]
    if len(meanings) != 1 or len(set(values)) < 2:  # noqa: PLR2004  # all alike: none is the best
        return None
    ((_, _, is_higher_better),) = meanings
    return max(values) if is_higher_better else min(values)


def _score(outcome: PointOutcome, column: _Column) -> Mapping[str, JsonValue] | None:
    scores = outcome.scores.get(column.test, ())
    return scores[column.index] if len(scores) > column.index else None


def _is_best(column: _Column, score: Mapping[str, JsonValue] | None) -> bool:
    return score is not None and column.best is not None and score["value"] == column.best


def _cell(column: _Column, score: Mapping[str, JsonValue] | None) -> str:
    if score is None:
        return "-"
    value = score["value"]
    shown = f"{value:.2f}" if isinstance(value, int | float) else str(value)
    return f"{shown} {_BEST}" if _is_best(column, score) else shown
