"""A model folder is written from parts and read back, or refused with the name of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from pydantic import JsonValue

from specforge.data.corpus import CorpusFacts, SplitFacts, write_facts
from specforge.data.vocabulary import Vocabulary
from specforge.foundation.errors import CorruptStateError
from specforge.steps.model_folder import load_model, model_context, write_model_folder
from specforge.steps.parts import make_model
from specforge.training.weights import module_weights

_CPU = torch.device("cpu")
_MODEL: dict[str, JsonValue] = {
    "use": "specforge/transformer", "encoder_layers": 1, "decoder_layers": 1, "embed_dim": 8, "ffn_dim": 8,
    "attention_heads": 2, "share_embeddings": "all",
}  # fmt: skip
_SETTINGS: dict[str, JsonValue] = {
    "task": {"use": "specforge/translation", "source": "en", "target": "de"},
    "tokenizer": {"use": "specforge/whitespace"},
    "model": _MODEL,
    "optimizer": {"use": "specforge/adam"},
}


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A model folder with one vocabulary for both sides, and the weights in it."""
    vocabulary = Vocabulary({"a": 3, "b": 2})
    prepared = tmp_path / "prepared"
    (prepared / "tokenizer").mkdir(parents=True)
    for role in ("source", "target"):
        (prepared / f"vocabulary.{role}.txt").write_bytes(vocabulary.to_bytes())
    split = SplitFacts(items=0, tokens={"source": 0, "target": 0})
    facts = CorpusFacts(
        roles=["source", "target"],
        joined=True,
        dtype={"source": "uint16", "target": "uint16"},
        splits={"train": split, "valid": split},
        segments=[],
    )
    write_facts(prepared, facts)
    torch.manual_seed(1)
    model = make_model(_MODEL, model_context({"source": vocabulary, "target": vocabulary}, joined=True))
    weights = {name: tensor.clone() for name, tensor in module_weights(model).items()}
    write_model_folder(tmp_path / "model", weights, _SETTINGS, prepared, {"updates": 7, "valid": {"loss": 1.5}})
    return tmp_path / "model", weights


def test_the_description_says_what_the_model_is_and_no_more(written: tuple[Path, dict[str, torch.Tensor]]) -> None:
    description = json.loads((written[0] / "model.json").read_text())

    assert {
        "task": _SETTINGS["task"],
        "tokenizer": _SETTINGS["tokenizer"],
        "model": _MODEL,
        "roles": ["source", "target"],
        "joined": True,
        "updates": 7,
        "valid": {"loss": 1.5},
    } == description


def test_a_model_comes_back_as_it_was(written: tuple[Path, dict[str, torch.Tensor]]) -> None:
    folder, weights = written
    torch.manual_seed(2)

    trained = load_model(folder, _CPU)

    found = module_weights(trained.model)
    assert weights.keys() == found.keys()
    assert all(torch.equal(weights[name], found[name]) for name in weights)
    assert (["a", "b"], ["source", "target"]) == (
        trained.vocabularies["target"].pieces([4, 5]),
        [*trained.vocabularies],
    )
    assert not trained.model.training


@pytest.mark.parametrize("file", ["model.json", "model.safetensors", "vocabulary.target.txt"])
def test_a_missing_file_is_named(file: str, written: tuple[Path, dict[str, torch.Tensor]]) -> None:
    (written[0] / file).unlink()

    with pytest.raises(CorruptStateError, match="a file is missing") as caught:
        load_model(written[0], _CPU)

    assert ("SF614", str(written[0] / file)) == (caught.value.code, str(caught.value.place))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"task": {}}', "not the description of a model: field required"),
    ],
)
def test_what_is_no_description_is_refused(
    content: str, message: str, written: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    (written[0] / "model.json").write_text(content)

    with pytest.raises(CorruptStateError, match=message):
        load_model(written[0], _CPU)


def test_weights_of_another_model_are_refused(written: tuple[Path, dict[str, torch.Tensor]]) -> None:
    path = written[0] / "model.json"
    path.write_text(path.read_text().replace('"decoder_layers": 1', '"decoder_layers": 2'))

    with pytest.raises(CorruptStateError, match="the weights do not fit the model: `decoder_layers"):
        load_model(written[0], _CPU)


def test_a_folder_without_tokenizer_files_will_do_where_there_are_none(
    written: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    (written[0] / "tokenizer").rmdir()  # as a copy through git leaves it

    assert [["a", "b"]] == load_model(written[0], _CPU).tokenizer.encode("source", ["a b"])
