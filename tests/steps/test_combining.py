"""Models that answer together, from their folders: what they say is the mean, and what does not fit is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from pydantic import JsonValue
from trained_model import decoding_job, train_result

from specforge.data.vocabulary import Vocabulary
from specforge.execution.job import Job
from specforge.foundation import durable
from specforge.foundation.errors import CorruptStateError, WrongInputError
from specforge.foundation.events import SilentReporter
from specforge.generation.scorers.fusion import FusionScorer
from specforge.language.model_folders import CONTENTS
from specforge.language.schema.generate import GenerateSection
from specforge.searches.scorer import Scorer
from specforge.steps.combining import combined_models
from specforge.steps.decoding import folder_generator, trained_generator
from specforge.steps.model_folder import model_context, write_model_folder
from specforge.steps.parts import make_model
from specforge.training.weights import module_weights

LM_TASK: JsonValue = {"use": "specforge/language_modeling"}
LM: dict[str, JsonValue] = {
    "use": "specforge/transformer_lm",
    "decoder_layers": 1,
    "embed_dim": 8,
    "ffn_dim": 16,
    "attention_heads": 2,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result of train with a second checkpoint, and beside it folders of another run."""
    folder = tmp_path_factory.mktemp("results")
    for name, layers in (("one", 1), ("two", 2)):
        (folder / name).mkdir()
        train_result(folder / name, {"encoder_layers": layers})
    shutil.copytree(folder / "two" / "trained" / "best", folder / "one" / "trained" / "last")
    language_model(folder / "one" / "data", folder / "lm")
    return folder


def language_model(prepared: Path, folder: Path) -> None:
    """Write a language model of the target vocabulary of prepared data, with random weights."""
    vocabulary = Vocabulary.from_bytes((prepared / "vocabulary.target.txt").read_bytes())
    torch.manual_seed(5)
    model = make_model(LM, model_context({"text": vocabulary}, joined=False))
    settings: dict[str, JsonValue] = {"task": LM_TASK, "tokenizer": {"use": "specforge/whitespace"}, "model": LM}
    write_model_folder(folder, module_weights(model), settings, prepared, {})
    for name in ("source", "target"):
        durable.remove_file(folder / f"vocabulary.{name}.txt")
    durable.write_file(folder / "vocabulary.text.txt", vocabulary.to_bytes())
    described = (folder / "model.json").read_text().replace('"source",', "").replace('"target"', '"text"')
    durable.replace_file(folder / "model.json", described.encode())
    sign(folder)


def sign(folder: Path) -> None:
    durable.remove_file(folder / CONTENTS)
    sums = "".join(f"{entry.sha256}  {name}\n" for name, entry in durable.digest_folder(folder).items())
    durable.write_file(folder / CONTENTS, sums.encode())


def job(results: Path, **generate: JsonValue) -> Job:
    made = decoding_job("generate", results / "one" / "trained", [], None)
    return made.model_copy(update={"settings": {**made.settings, "generate": {"batch_tokens": 64, **generate}}})


def scorer(results: Path, **generate: JsonValue) -> Scorer:
    section = GenerateSection.model_validate(generate)
    return combined_models(job(results), section, torch.device("cpu")).scorer


def first_step(of: Scorer) -> torch.Tensor:
    with torch.no_grad():
        state = of.start(torch.tensor([[4, 5, 2], [6, 2, 1]]), torch.tensor([3, 2]), 1)
        return of.step(torch.tensor([2, 2]), state)


def test_checkpoints_and_folders_answer_with_their_mean(results: Path) -> None:
    one, other = (first_step(scorer(results, checkpoint=name)).exp() for name in ("best", "last"))
    folder = str(results / "two" / "trained" / "best")

    both = first_step(scorer(results, checkpoint=["best", "last"])).exp()
    three = first_step(scorer(results, checkpoint=["best", "last"], ensemble=[folder])).exp()

    assert not torch.allclose(one, other)
    torch.testing.assert_close(both, (one + other) / 2)
    torch.testing.assert_close(three, (one + 2 * other) / 3)


def test_a_language_model_adds_to_it(results: Path) -> None:
    fused: JsonValue = {"path": str(results / "lm"), "weight": 0.5}
    together = scorer(results, language_model=fused)
    alone = first_step(scorer(results))

    added = first_step(together) - alone

    torch.testing.assert_close((2 * added).exp().sum(dim=1), torch.ones(2))  # half of log-probabilities
    torch.testing.assert_close(added[0], added[1])  # it looks at no source


def test_a_weight_of_0_asks_nobody(results: Path) -> None:
    fused: JsonValue = {"path": str(results / "gone"), "weight": 0.0}

    assert not isinstance(scorer(results, language_model=fused), FusionScorer)


def test_lines_are_translated_with_them(results: Path) -> None:
    fused: JsonValue = {"path": str(results / "lm"), "weight": 3.0}
    lines = ["a b c", "c a", "b"]
    found = {
        str(values): [each.text for each in trained_generator(job(results, **values)).translate(lines)]
        for values in ({}, {"checkpoint": ["best", "last"]}, {"language_model": fused})
    }

    assert 3 == len({tuple(texts) for texts in found.values()})


def test_another_family_is_refused(results: Path) -> None:
    for values in (
        {"ensemble": [str(results / "lm")]},
        {"language_model": {"path": str(results / "two/trained/best"), "weight": 1}},
    ):
        with pytest.raises(WrongInputError) as caught:
            scorer(results, **values)
        assert "SF701" == caught.value.code


@pytest.mark.parametrize(
    ("pieces", "line", "words"),
    [
        (["u", "v", "x", "w"], 3, "its symbol 6 is `x`, the checkpoint's is `w`"),
        (["u", "v", "w"], 4, "its symbol 7 is missing, the checkpoint's is `x`"),
    ],
)
def test_the_first_symbol_that_differs_is_named(
    results: Path, tmp_path: Path, pieces: list[str], line: int, words: str
) -> None:
    prepared = tmp_path / "data"
    shutil.copytree(results / "one" / "data", prepared)
    durable.replace_file(prepared / "vocabulary.target.txt", Vocabulary(dict.fromkeys(pieces, 1)).to_bytes())
    language_model(prepared, tmp_path / "lm")

    with pytest.raises(WrongInputError) as caught:
        scorer(results, language_model={"path": str(tmp_path / "lm"), "weight": 0.3})

    assert "SF702" == caught.value.code
    assert words in caught.value.message
    assert caught.value.place is not None
    assert line == caught.value.place.line


def test_a_folder_that_was_changed_is_refused(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results / "two" / "trained" / "best", tmp_path / "best")
    durable.replace_file(tmp_path / "best" / "vocabulary.source.txt", b"a 1\n")

    with pytest.raises(CorruptStateError) as caught:
        scorer(results, ensemble=[str(tmp_path / "best")])

    assert "SF613" == caught.value.code


def test_a_language_model_continues_lines(results: Path) -> None:
    """The same text, whatever stands beside it; a blank line stays blank."""
    made = decoding_job("translate", results, [], None)
    lines = ["u v x", "", "w", "x x x x x"]

    def continued(batch: list[str]) -> list[str]:
        settings = {
            "run": {"device": "cpu"},
            "generate": {"search": {"use": "specforge/beam", "beam": 2, "max_length": [0.0, 4]}},
        }
        job = made.model_copy(update={"needs": {"model": str(results / "lm")}, "settings": settings})
        return [each.text for each in folder_generator(job, SilentReporter()).translate(batch)]

    together = continued(lines)

    assert [text for line in lines for text in continued([line])] == together
    assert "" == together[1]
    for line, text in zip(lines, together, strict=True):
        assert text.startswith(line)
        assert len(line.split()) < len(text.split()) <= len(line.split()) + 4 or not line
