"""A model folder is written from parts and read back, or refused with the name of what is wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import cast

import pytest
import torch
from pydantic import JsonValue

from specforge import __version__
from specforge.data.corpus import CorpusFacts, SplitFacts, write_facts
from specforge.data.vocabulary import Vocabulary
from specforge.foundation.errors import CorruptStateError, RefusedError
from specforge.language.registry import load_registry
from specforge.plugin import Kind
from specforge.steps.model_folder import (
    load_model,
    model_context,
    open_model_folder,
    other_packages,
    write_model_folder,
)
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
    figures: dict[str, JsonValue] = {"updates": 7, "valid": {"loss": 1.5}}
    write_model_folder(tmp_path / "model", weights, _SETTINGS, prepared, figures, "specforge = 1\n")
    return tmp_path / "model", weights


def version(kind: str, name: str) -> int:
    return load_registry().find(cast("Kind", kind), name).registered.component.version


def test_the_description_says_what_the_model_is_and_no_more(written: tuple[Path, dict[str, torch.Tensor]]) -> None:
    description = json.loads((written[0] / "model.json").read_text())

    names = {"task": "translation", "tokenizer": "whitespace", "model": "transformer", "optimizer": "adam"}
    components = {table: f"specforge/{name}@{version(table, name)}" for table, name in names.items()}
    assert {
        "components": components,
        "packages": {"specforge": __version__},
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


def test_sums_are_those_that_sha256sum_reads(written: tuple[Path, dict[str, torch.Tensor]]) -> None:
    folder = written[0]
    lines = (folder / "SHA256SUMS").read_text().split("\n")[:-1]

    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    assert [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}" for name in names] == lines
    assert "spec.toml" in names


def test_a_moved_folder_is_checked_and_loaded(written: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    moved = written[0].rename(tmp_path / "elsewhere")

    found = module_weights(open_model_folder(moved, _CPU).model)

    assert all(torch.equal(weight, found[name]) for name, weight in written[1].items())


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.source.txt", "spec.toml", "model.json"])
def test_a_file_that_changed_on_the_way_is_named(name: str, written: tuple[Path, dict[str, torch.Tensor]]) -> None:
    path = written[0] / name
    path.write_bytes(path.read_bytes() + b" ")

    with pytest.raises(CorruptStateError, match=f"`{name}` does not match `SHA256SUMS`") as caught:
        open_model_folder(written[0], _CPU)

    assert ("SF613", str(path)) == (caught.value.code, str(caught.value.place))


@pytest.mark.parametrize("name", ["spec.toml", "SHA256SUMS"])
def test_a_file_that_got_lost_on_the_way_is_named(name: str, written: tuple[Path, dict[str, torch.Tensor]]) -> None:
    (written[0] / name).unlink()

    with pytest.raises(CorruptStateError, match="a file is missing") as caught:
        open_model_folder(written[0], _CPU)

    assert str(written[0] / name) == str(caught.value.place)


@pytest.mark.parametrize("kept", ["", "model.json", "model.safetensors"])
def test_a_list_of_digests_that_was_cut_short_is_no_proof(
    kept: str, written: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    sums = written[0] / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(keepends=True) if kept and kept in line))

    with pytest.raises(CorruptStateError, match=r"`SHA256SUMS` does not list `model\.") as caught:
        open_model_folder(written[0], _CPU)

    assert ("SF613", str(sums)) == (caught.value.code, str(caught.value.place))


@pytest.mark.parametrize("name", ["labels.target.txt", "tokenizer/.DS_Store", "spec.toml"])
def test_a_file_that_was_put_there_later_is_not_read(name: str, written: tuple[Path, dict[str, torch.Tensor]]) -> None:
    folder = written[0]
    sums = folder / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(keepends=True) if name not in line))
    (folder / name).write_text("a 1\n")
    (folder / "README.md").write_text("of no interest\n")

    with pytest.raises(CorruptStateError, match=f"does not list `{name}`"):
        open_model_folder(folder, _CPU)


def _described_anew(folder: Path, before: str, after: str) -> None:
    """Change the description, and its digest as well."""
    path, sums = folder / "model.json", folder / "SHA256SUMS"
    old = hashlib.sha256(path.read_bytes()).hexdigest()
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    sums.write_text(sums.read_text().replace(old, hashlib.sha256(path.read_bytes()).hexdigest()))


@pytest.mark.parametrize(
    ("before", "after", "message", "help_text"),
    [
        (
            "specforge/transformer@",
            "waves/transformer@",
            "the model of this model is `waves/transformer`, which is not installed here",
            "install waves",
        ),
        (
            "specforge/whitespace@",
            "specforge/whitespace@9",
            r"the tokenizer of this model is `specforge/whitespace@9\d`, and installed is `specforge/whitespace@\d`",
            f"install specforge {__version__}, with which it was trained",
        ),
    ],
)
def test_a_component_that_is_not_here_is_named_with_its_package(
    before: str, after: str, message: str, help_text: str, written: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    _described_anew(written[0], before, after)

    with pytest.raises(RefusedError, match=message) as caught:
        open_model_folder(written[0], _CPU)

    assert ("SF671", help_text) == (caught.value.code, caught.value.help)


def test_another_version_of_a_package_is_said(written: tuple[Path, dict[str, torch.Tensor]]) -> None:
    assert [] == other_packages(open_model_folder(written[0], _CPU).settings)

    _described_anew(written[0], f'"specforge": "{__version__}"', '"specforge": "0.0.7"')

    settings = open_model_folder(written[0], _CPU).settings
    assert [f"trained with specforge 0.0.7, and here is specforge {__version__}"] == other_packages(settings)
