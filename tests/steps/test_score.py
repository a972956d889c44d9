"""The score step: known texts, known scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from preprocess_jobs import TASK, WHITESPACE, parallel
from pydantic import JsonValue

from specforge.execution.job import CorpusJob, Job
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.events import Scalar, SilentReporter
from specforge.steps import score

EXACT: JsonValue = {"use": "specforge/exact_match"}
BLEU: JsonValue = {"use": "specforge/bleu", "tokenize": "none"}
TER: JsonValue = {"use": "specforge/ter"}


class Records(SilentReporter):
    """Keeps the records."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, Scalar]]] = []

    def record(self, name: str, **values: Scalar) -> None:
        self.records.append((name, values))


def score_job(
    folder: Path,
    hypotheses: str,
    corpora: list[CorpusJob],
    metrics: list[JsonValue],
    tokenizer: JsonValue = WHITESPACE,
    bootstrap: int = 0,
) -> Job:
    (folder / "generated").mkdir()
    (folder / "generated" / "hypotheses.txt").write_text(hypotheses, newline="")
    settings: dict[str, JsonValue] = {"task": TASK, "tokenizer": tokenizer, "metrics": metrics, "seed": 1, "run": {}}
    settings["bootstrap"] = bootstrap
    needs: JsonValue = {"generate": str(folder / "generated")}
    job = {"id": "score.test", "kind": "score", "settings": settings, "needs": needs, "output": str(folder)}
    return Job.model_validate(job).model_copy(update={"corpora": corpora})


def test_scores_stand_in_the_order_of_the_metrics(tmp_path: Path) -> None:
    corpora = [parallel(tmp_path, "test", "unread\n", "u v w x\nu\n\nx\n")]
    reporter = Records()

    score.run(score_job(tmp_path, "u v w x\nv\n\nx\n", corpora, [TER, EXACT, BLEU]), reporter)

    found = json.loads((tmp_path / "scores.json").read_bytes())
    assert ["scores", "sentences"] == list(found)
    assert 4 == found["sentences"]
    assert ["ter", "exact_match", "bleu"] == [each["name"] for each in found["scores"]]
    assert {
        "name": "exact_match",
        "value": 75.0,
        "signature": "exact_match|nrefs:1|version:1",
        "higher_is_better": True,
        "text": "exact_match = 75.00 (3/4)",
    } == found["scores"][1]
    # one substitution over six words; precisions 5/6, 3/3, 2/2, 1/1
    assert 100 / 6 == pytest.approx(found["scores"][0]["value"])
    assert not found["scores"][0]["higher_is_better"]
    assert 100 * (5 / 6) ** 0.25 == pytest.approx(found["scores"][2]["value"])
    assert "|tok:none|" in found["scores"][2]["signature"]
    assert ("score", "exact_match", 75.0) == (
        reporter.records[1][0],
        reporter.records[1][1]["metric"],
        reporter.records[1][1]["value"],
    )


def test_references_are_compared_as_people_read_them(tmp_path: Path) -> None:
    corpora = [parallel(tmp_path, "test", "", "Haus@@ tür auf\n")]
    tokenizer: JsonValue = {"use": "specforge/whitespace", "remove_bpe": "@@ "}

    score.run(score_job(tmp_path, "Haustür auf\n", corpora, [EXACT], tokenizer), SilentReporter())

    assert 100.0 == json.loads((tmp_path / "scores.json").read_bytes())["scores"][0]["value"]


@pytest.mark.parametrize(("hypotheses", "references"), [("u\n", "u\nv\n"), ("u\nv\n", "u\n")])
def test_a_line_without_a_partner_is_never_left_out(tmp_path: Path, hypotheses: str, references: str) -> None:
    job = score_job(tmp_path, hypotheses, [parallel(tmp_path, "test", "", references)], [EXACT])

    with pytest.raises(WrongInputError) as caught:
        score.run(job, SilentReporter())

    assert ("SF503", Place(str(tmp_path / "generated" / "hypotheses.txt"))) == (caught.value.code, caught.value.place)
    assert not (tmp_path / "scores.json").exists()


def several(folder: Path, *references: str) -> CorpusJob:
    """Write a test with references of its own."""
    corpus = parallel(folder, "test", "unread\n", "unread\n")
    files = {"source": corpus.files["source"]}
    for number, text in enumerate(references):
        files[f"reference-{number}"] = str(folder / f"reference-{number}")
        (folder / f"reference-{number}").write_text(text)
    return corpus.model_copy(update={"files": files, "references": [f"r{nth}" for nth in range(len(references))]})


def test_each_of_several_references_is_good_enough(tmp_path: Path) -> None:
    corpora = [several(tmp_path, "u\nx\nx\nx\n", "x\nHaus@@ tür\nw\nx\n")]
    tokenizer: JsonValue = {"use": "specforge/whitespace", "remove_bpe": "@@ "}

    score.run(score_job(tmp_path, "u\nHaustür\nw\nv\n", corpora, [EXACT, BLEU], tokenizer), SilentReporter())

    exact, bleu = json.loads((tmp_path / "scores.json").read_bytes())["scores"]
    assert (75.0, "exact_match|nrefs:2|version:1") == (exact["value"], exact["signature"])
    assert "|nrefs:2|" in bleu["signature"]


def test_an_interval_stands_beside_the_score_where_it_is_asked_for(tmp_path: Path) -> None:
    corpora = [parallel(tmp_path, "test", "", "u\nv\n" * 20)]

    score.run(score_job(tmp_path, "u\nx\n" * 20, corpora, [EXACT, BLEU], bootstrap=100), SilentReporter())

    exact, bleu = json.loads((tmp_path / "scores.json").read_bytes())["scores"]
    assert {"mean", "margin", "confidence", "resamples", "seed"} == exact["interval"].keys() == bleu["interval"].keys()
    assert (0.95, 100, 12345) == tuple(exact["interval"][name] for name in ("confidence", "resamples", "seed"))
    assert 50.0 == pytest.approx(exact["interval"]["mean"], abs=2.0)
    assert "bs:" not in bleu["signature"]  # the score is the same without
