"""The table at the end of a sweep."""

from __future__ import annotations

from pydantic import JsonValue

from specforge.cli.views.sweep_scores import SweepScores
from specforge.execution.sweeps.sweep_folder import PointOutcome
from specforge.foundation.errors import Place, StepFailedError
from specforge.language.spec import Point, Sweep, Swept

LR, BEAM = ("optimizer", "lr"), ("generate", "search", "beam")


def outcome(number: int, **tests: float | tuple[float, str]) -> PointOutcome:
    """Return a point that was scored on some tests: a BLEU, or a BLEU and its signature."""
    point = Point(number, f"base.{number}", {LR: number / 10} | ({BEAM: 4} if number > 1 else {}))
    pairs = {test: found if isinstance(found, tuple) else (found, "tok:13a") for test, found in tests.items()}
    scores: dict[str, list[dict[str, JsonValue]]] = {
        test: [{"name": "bleu", "value": value, "signature": how}] for test, (value, how) in pairs.items()
    }
    return PointOutcome(point, "done", scores=scores)


def table(*outcomes: PointOutcome) -> list[str]:
    fields = (Swept(LR, (0.1, 0.2), Place("spec.toml")), Swept(BEAM, (4,), Place("spec.toml")))
    sweep = Sweep(fields, tuple(one.point for one in outcomes), {})
    return list(SweepScores(sweep, outcomes).lines())


def test_the_best_of_a_column_is_marked() -> None:
    assert [
        "point   lr    beam   bleu",
        "1       0.1   -      20.00",
        "2       0.2   4      30.12 *",
        "3       0.3   4      30.11",
        "",
        "* the best of its column",
    ] == "\n".join(table(outcome(1, test=20.0), outcome(2, test=30.123), outcome(3, test=30.114))).split("\n")


def test_of_equal_scores_none_is_the_best_and_of_several_best_ones_all_are() -> None:
    assert "bleu" == table(outcome(1, test=5.0), outcome(2, test=5.0))[0].split()[-1]
    assert not any("*" in line for line in table(outcome(1, test=5.0), outcome(2, test=5.0)))
    assert 2 == sum("6.00 *" in line for line in table(*(outcome(n, test=min(n + 4.0, 6.0)) for n in (1, 2, 3))))


def test_of_an_error_rate_the_least_is_the_best() -> None:
    outcomes = [outcome(1, test=5.0), outcome(2, test=7.0)]
    for one in outcomes:
        one.scores["test"][0]["higher_is_better"] = False  # type: ignore[index]

    assert table(*outcomes)[1].endswith("5.00 *")


def test_several_tests_name_their_columns() -> None:
    assert "point   lr    beam   news bleu   talks bleu" == table(outcome(1, news=1.0, talks=2.0))[0]


def test_scores_that_mean_different_things_are_not_compared() -> None:
    lines = table(outcome(1, test=(20.0, "tok:13a")), outcome(2, test=(40.0, "tok:char")))

    assert not any("*" in line for line in lines)
    assert ["bleu is computed in 2 ways here, which do not compare:", "  tok:13a", "  tok:char"] == lines[-3:]


def test_a_point_that_failed_shows_its_code() -> None:
    failed = PointOutcome(Point(2, "base.2", {LR: 0.2}), "failed", StepFailedError("SF633", "not finite"))

    assert [
        "point   lr    beam   bleu    state",
        "1       0.1   -      20.00   done",
        "2       0.2   -      -       failed: SF633",
    ] == table(outcome(1, test=20.0), failed)


def test_without_scores_the_states_are_shown() -> None:
    assert ["point   lr    beam   state", "1       0.1   -      done"] == table(outcome(1))
