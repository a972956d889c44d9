"""The evaluate worker's side: known texts, known scores, and files that do not belong together."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import JsonValue

from specforge.execution.job import Job
from specforge.execution.questions.evaluation import Evaluation, TextFiles
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.events import Scalar, SilentReporter
from specforge.metrics.resampling import SEED
from specforge.steps import evaluate

EXACT: JsonValue = {"use": "specforge/exact_match"}
F1: JsonValue = {"use": "specforge/f1"}
TER: JsonValue = {"use": "specforge/ter"}


class Record(SilentReporter):
    """Keeps the answer."""

    def __init__(self) -> None:
        self.answers: list[Evaluation] = []

    def record(self, name: str, **values: Scalar) -> None:
        assert "evaluate" == name
        self.answers.append(Evaluation.model_validate_json(str(values["json"])))


def evaluated(
    folder: Path,
    texts: dict[str, str],
    metrics: list[JsonValue],
    *,
    compare: str | None = None,
    source: str | None = None,
    bootstrap: int = 0,
) -> Evaluation:
    """Score the text `hypotheses` against all whose names begin with `reference`."""
    for name, text in texts.items():
        (folder / name).write_text(text)
    files = TextFiles(
        hypotheses=str(folder / "hypotheses"),
        references=[str(folder / name) for name in texts if name.startswith("reference")],
        source=None if source is None else str(folder / source),
        compare=None if compare is None else str(folder / compare),
        bootstrap=bootstrap,
    )
    settings: JsonValue = {"evaluate": files.model_dump(mode="json"), "metrics": metrics}
    reporter = Record()
    evaluate.run(Job.model_validate({"id": "evaluate", "kind": "evaluate", "settings": settings}), reporter)
    (answer,) = reporter.answers
    return answer


def test_every_metric_scores_against_all_references(tmp_path: Path) -> None:
    texts = {"hypotheses": "a\nb\nc\nd\n", "reference1": "a\nx\nc\nx\n", "reference2": "x\nb\nx\nx"}

    found = evaluated(tmp_path, texts, [EXACT, TER])

    assert 4 == found.lines
    exact, ter = found.scores
    assert ("exact_match", 75.0, True, None, None) == (
        exact.name,
        exact.value,
        exact.higher_is_better,
        exact.interval,
        exact.compare,
    )
    # one substitution in four words, the other lines equal one of their references
    assert 25.0 == pytest.approx(ter.value)
    assert "nrefs:2" in ter.signature


def test_another_system_is_compared_on_the_same_resamples(tmp_path: Path) -> None:
    right, wrong = "a\nb\n" * 20, "a\nx\n" * 20
    texts = {"hypotheses": right, "reference": right, "other": wrong}

    (score,) = evaluated(tmp_path, texts, [EXACT], compare="other", bootstrap=100).scores

    assert score.interval is not None
    assert (100.0, 0.0, 0.95, 100, SEED) == tuple(score.interval.model_dump().values())
    assert score.compare is not None
    assert score.compare.interval is not None
    assert 50.0 == score.compare.value
    assert 50.0 == pytest.approx(score.compare.interval.mean, abs=2.0)
    assert 10.0 < score.compare.interval.margin < 20.0  # of 40 draws: 1.96 * sqrt(0.25 / 40) = 15.5 %
    assert 1 / 1001 == score.compare.p_value


@pytest.mark.parametrize("wrong", ["reference", "other", "source"])
def test_files_of_unequal_length_are_named_with_both_numbers(tmp_path: Path, wrong: str) -> None:
    texts = dict.fromkeys(("hypotheses", "reference", "other", "source"), "a\nb\nc\n")
    texts[wrong] = "a\n"

    with pytest.raises(WrongInputError, match=r"1 line here, and 3 lines in `.*hypotheses`") as caught:
        evaluated(tmp_path, texts, [EXACT], compare="other", source="source")

    assert ("SF503", Place(str(tmp_path / wrong))) == (caught.value.code, caught.value.place)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError) as caught:
        evaluated(tmp_path, {"hypotheses": "a\n", "reference": ""}, [EXACT])
    assert ("SF504", Place(str(tmp_path / "reference"))) == (caught.value.code, caught.value.place)
