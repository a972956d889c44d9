"""The logprob worker's side: lines in, a line for each of them out, and what they come to."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from preprocess_jobs import TASK, WHITESPACE, make_job, prepared
from pydantic import JsonValue
from trained_model import train_result

from specforge.execution.job import CorpusJob, Job
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.events import Scalar, SilentReporter
from specforge.steps import logprob
from specforge.steps.measuring import measured_test
from specforge.steps.model_folder import TrainedModel, load_model, model_context, read_vocabularies, write_model_folder
from specforge.steps.parts import make_model
from specforge.training.weights import module_weights

LM_TASK: dict[str, JsonValue] = {"use": "specforge/language_modeling", "block_length": 4, "context_window": 2}
TEXT = "one two three\n\nfour two\none one one one two\n"


class Records(SilentReporter):
    """Keeps the record."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}

    def record(self, name: str, **values: Scalar) -> None:
        assert "logprob" == name
        self.found = json.loads(str(values["json"]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model: dict[str, JsonValue] = {"positions": "learned", "max_positions": 6}
    return train_result(tmp_path_factory.mktemp("trained"), model)


def write(folder: Path, source: str, target: str) -> dict[str, JsonValue]:
    (folder / "s").write_text(source)
    (folder / "t").write_text(target)
    return {"source": str(folder / "s"), "target": str(folder / "t")}


def run(trained: Path, request: dict[str, JsonValue], **settings: JsonValue) -> dict[str, float]:
    generate: JsonValue = {"checkpoint": "best", "batch_tokens": 64}
    made: JsonValue = {"task": TASK, "generate": generate, "run": {"device": "cpu"}, "logprob": request, **settings}
    job = {"id": "logprob", "kind": "logprob", "settings": made, "needs": {"train": str(trained)}}
    reporter = Records()
    logprob.run(Job.model_validate(job), reporter)
    return reporter.found


def test_a_line_for_each_line_and_what_they_come_to(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    request = write(tmp_path, "a b c\n\nc\n", "u v\nnever x\n\n")
    found = run(trained, {**request, "jsonl": True})
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {} != run(trained, request)
    texts = [[float(each) for each in line.split("\t")] for line in capfd.readouterr().out.splitlines()]

    assert [["u", "v", "</s>"], ["<unk>", "x", "</s>"], ["</s>"]] == [line["pieces"] for line in lines]
    for line, text in zip(lines, texts, strict=True):
        total = sum(line["token_scores"])
        expected = [total, total / len(line["pieces"]), total / (line["words"] + 1)]
        assert expected == pytest.approx([line["logprob"], line["per_token"], line["per_word"]])
        assert expected == pytest.approx(text, abs=1e-6)
    total = sum(line["logprob"] for line in lines)
    assert {"lines": 3, "tokens": 7, "words": 4, "unknown": 1} == {
        name: found[name] for name in ("lines", "tokens", "words", "unknown")
    }
    assert [total, math.exp(-total / 7), math.exp(-total / 7)] == pytest.approx(
        [found["logprob"], found["ppl"], found["word_ppl"]]
    )


def test_only_the_sums_are_printed_where_only_they_are_asked_for(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert 2 == run(trained, {**write(tmp_path, "a\nb\n", "u\nv\n"), "silent": True})["lines"]
    assert "" == capfd.readouterr().out


def test_groups_of_lines_change_nothing(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last digit, in float64: large weights amplify the last bits of float32, which depend on what stands beside a line."""

    def exact(folder: Path, device: torch.device) -> TrainedModel:
        trained = load_model(folder, device)
        return replace(trained, model=trained.model.double())

    monkeypatch.setattr("specforge.steps.line_scores.load_model", exact)
    request = write(tmp_path, "a\nb c\nc\na a\nb\n", "u\nv w\nu\nx\n\n")
    run(trained, request)
    whole = capfd.readouterr().out
    monkeypatch.setattr("specforge.steps.line_scores._GROUP", 2)
    run(trained, request)

    assert 5 == whole.count("\n")
    assert whole == capfd.readouterr().out


def test_files_of_unequal_length_are_told_before_anything_is_printed(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WrongInputError, match=r"3 lines in `.*s` and 1 line in `.*t`") as caught:
        run(trained, write(tmp_path, "a\nb\nc\n", "u\n"))

    assert ("SF503", Place(str(tmp_path / "t"), 2)) == (caught.value.code, caught.value.place)
    assert "" == capfd.readouterr().out


@pytest.mark.parametrize(
    ("source", "target", "name"), [("a\na b c a b c\n", "u\nu\n", "s"), ("a\na\n", "u\nu u u u u u\n", "t")]
)
def test_a_line_that_is_too_long_for_the_model_is_named(
    trained: Path, tmp_path: Path, source: str, target: str, name: str
) -> None:
    with pytest.raises(WrongInputError, match="a line of 7 tokens") as caught:
        run(trained, write(tmp_path, source, target))

    assert ("SF506", Place(str(tmp_path / name), 2)) == (caught.value.code, caught.value.place)


def test_a_request_that_does_not_fit_the_model_is_refused(trained: Path, tmp_path: Path) -> None:
    request = write(tmp_path, "a\n", "u\n")
    for wrong in ({"target": request["target"]}, {**request, "line_by_line": True}, {**request, "context_window": 3}):
        with pytest.raises(WrongInputError) as caught:
            run(trained, wrong)
        assert "SF731" == caught.value.code


def test_nothing_to_score_is_an_error(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongInputError) as caught:
        run(trained, write(tmp_path, "", ""))
    assert "SF504" == caught.value.code


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a result of train without training: a language model with random weights, and its text beside it."""
    folder = tmp_path_factory.mktemp("lm")
    (folder / "text").write_text(TEXT)
    corpora = [CorpusJob(role=role, format="text", files={"": str(folder / "text")}) for role in ("train/0", "valid")]
    job = make_job(folder / "data", corpora)
    data, _ = prepared(job.model_copy(update={"settings": {**job.settings, "task": LM_TASK}}))
    table: dict[str, JsonValue] = {
        "use": "specforge/transformer_lm",
        "decoder_layers": 1,
        "embed_dim": 8,
        "ffn_dim": 16,
    }
    table |= {"attention_heads": 2, "positions": "learned", "max_positions": 8}
    torch.manual_seed(3)
    built = make_model(table, model_context(read_vocabularies(data, ["text"]), joined=False))
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.mul_(3.0)  # as initialised it prefers nothing
    settings: dict[str, JsonValue] = {"task": LM_TASK, "tokenizer": WHITESPACE, "model": table}
    write_model_folder(folder / "best", module_weights(built), settings, data, {"update": 0})
    return folder


def measured(lm: Path, **task: JsonValue) -> list[float]:
    """Return what the score step makes of the text."""
    corpora = [CorpusJob(role="test", format="text", files={"": str(lm / "text")})]
    settings: JsonValue = {"task": {**LM_TASK, **task}, "generate": {"checkpoint": "best"}, "run": {"device": "cpu"}}
    job = {"id": "score.test", "kind": "score", "settings": settings, "needs": {"train": str(lm)}}
    scores, _ = measured_test(Job.model_validate(job).model_copy(update={"corpora": corpora}), SilentReporter())
    return [score.value for score in scores]


@pytest.mark.parametrize(
    ("request_of", "task"),
    [
        ({}, {}),
        ({"context_window": 0}, {"context_window": 0}),
        ({"line_by_line": True}, {"block_length": None, "context_window": 0}),
    ],
)
def test_a_text_has_the_perplexity_of_a_test(
    lm: Path, capfd: pytest.CaptureFixture[str], request_of: dict[str, JsonValue], task: dict[str, JsonValue]
) -> None:
    found = run(lm, {"target": str(lm / "text"), "jsonl": True, **request_of}, task=LM_TASK)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    assert measured(lm, **task) == pytest.approx([found["ppl"], found["word_ppl"]])
    assert TEXT.split("\n")[:-1] == [" ".join(line["pieces"][:-1]) for line in lines]
    assert found["logprob"] == pytest.approx(sum(sum(line["token_scores"]) for line in lines))


def test_only_line_by_line_are_equal_lines_equal(lm: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "twice").write_text("two one\ntwo one\n")
    for alone in (True, False):
        run(lm, {"target": str(tmp_path / "twice"), "line_by_line": alone}, task=LM_TASK)
        first, second = capfd.readouterr().out.splitlines()
        assert alone == (first == second)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"source": "text"}, "which has no source"),
        ({"context_window": 4}, "a context window of 4 tokens leaves no room in blocks of 4"),
        ({"line_by_line": True, "context_window": 2}, "has no context window"),
    ],
)
def test_a_language_model_refuses_what_it_cannot_do(lm: Path, wrong: dict[str, JsonValue], said: str) -> None:
    files = {name: str(lm / "text") for name in ("target", *({"source"} & wrong.keys()))}
    with pytest.raises(WrongInputError, match=said) as caught:
        run(lm, {**wrong, **files}, task=LM_TASK)
    assert "SF731" == caught.value.code
