"""The worker that compares two results of generate: who reads what, and what is asked of which metric."""

from __future__ import annotations

from pathlib import Path

from preprocess_jobs import TASK, WHITESPACE, parallel
from pydantic import JsonValue

from specforge.execution.job import Job
from specforge.foundation.events import Scalar, SilentReporter
from specforge.planning.comparison.outcomes import FEWEST_SENTENCES, Significance
from specforge.steps import significance

EXACT: JsonValue = {"use": "specforge/exact_match"}
BLEU: JsonValue = {"use": "specforge/bleu", "tokenize": "none"}
LINES = [f"u v w {number}" for number in range(FEWEST_SENTENCES)]


class Records(SilentReporter):
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.values: dict[str, Scalar] = {}

    def record(self, name: str, **values: Scalar) -> None:
        assert "significance" == name
        self.values = values


def side(folder: Path, hypotheses: list[str], references: list[str], metrics: list[JsonValue]) -> JsonValue:
    """Return a score job over texts that are written into a folder of their own."""
    folder.mkdir()
    (folder / "hypotheses.txt").write_text("".join(f"{line}\n" for line in hypotheses))
    corpus = parallel(folder, "test", "unread\n", "".join(f"{line}\n" for line in references))
    settings: dict[str, JsonValue] = {"task": TASK, "tokenizer": WHITESPACE, "metrics": metrics, "seed": 1}
    job = Job(id="score.test", kind="score", settings=settings, corpora=[corpus], needs={"generate": str(folder)})
    dumped: JsonValue = job.model_dump(mode="json")
    return dumped


def compared(a: JsonValue, b: JsonValue, metrics: list[JsonValue]) -> Significance:
    reporter = Records()
    settings: dict[str, JsonValue] = {"a": a, "b": b, "metrics": metrics}
    significance.run(Job(id="significance", kind="significance", settings=settings), reporter)
    return Significance.model_validate_json(str(reporter.values["json"]))


def test_only_the_metrics_that_are_asked_for_are_tested(tmp_path: Path) -> None:
    # three words of four are right everywhere, which BLEU sees, and one line is right as a whole
    a = side(tmp_path / "a", ["x"] * len(LINES), LINES, [BLEU, EXACT])
    b = side(tmp_path / "b", [LINES[0], *(["u v w x"] * (len(LINES) - 1))], LINES, [EXACT])

    found = compared(a, b, [0, 1])

    assert (len(LINES), True) == (found.sentences, found.same_references)
    bleu, exact = found.p_values
    assert bleu != exact
    assert [exact] == compared(a, b, [1]).p_values


def test_other_references_are_not_compared(tmp_path: Path) -> None:
    a = side(tmp_path / "a", LINES, LINES, [EXACT])
    b = side(tmp_path / "b", LINES, [*LINES[:-1], "another"], [EXACT])

    assert (False, [None]) == (compared(a, b, [0]).same_references, compared(a, b, [0]).p_values)


def test_a_few_sentences_tell_nothing(tmp_path: Path) -> None:
    a = side(tmp_path / "a", ["x"] * 3, LINES[:3], [EXACT])
    b = side(tmp_path / "b", LINES[:3], LINES[:3], [EXACT])

    assert Significance(sentences=3, same_references=True, p_values=[None]) == compared(a, b, [0])
