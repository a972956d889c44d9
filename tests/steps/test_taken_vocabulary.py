"""Vocabularies that are taken from a model folder: the pieces and their indices stay, whatever the text has."""

from __future__ import annotations

from pathlib import Path

import pytest
from preprocess_jobs import WHITESPACE, make_job, parallel, prepared
from pydantic import JsonValue
from spec_model_folder import spec_model_folder

from specforge.data.vocabulary import Vocabulary
from specforge.foundation.errors import CorruptStateError, WrongInputError
from specforge.language.schema.data import VocabularySection
from specforge.steps.taken_vocabulary import take_vocabulary

BOTH = {"source": "b 3\na 2\n", "target": "v 2\nu 2\nw 1\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return spec_model_folder(tmp_path / "model", vocabularies=BOTH)


def test_each_text_has_its_own_or_all_have_one(folder: Path) -> None:
    own = take_vocabulary(VocabularySection(path=str(folder)), ["source", "target"], joined=False)
    one = take_vocabulary(VocabularySection(path=str(folder), role="target"), ["text"], joined=True)

    assert BOTH == {role: known.to_bytes().decode() for role, known in own.vocabularies.items()}
    assert {"text": BOTH["target"]} == {role: known.to_bytes().decode() for role, known in one.vocabularies.items()}


def test_two_are_not_one(folder: Path) -> None:
    with pytest.raises(WrongInputError) as caught:
        take_vocabulary(VocabularySection(path=str(folder)), ["source", "target"], joined=True)

    assert "SF702" == caught.value.code


@pytest.mark.parametrize(("name", "code"), [("vocabulary.source.txt", "SF613"), ("SHA256SUMS", "SF614")])
def test_a_folder_that_was_changed_is_refused(folder: Path, name: str, code: str) -> None:
    if name == "SHA256SUMS":
        (folder / name).unlink()
    else:
        (folder / name).write_text("a 3\nb 2\n")

    with pytest.raises(CorruptStateError) as caught:
        take_vocabulary(VocabularySection(path=str(folder)), ["source", "target"], joined=False)

    assert code == caught.value.code


def test_a_text_is_written_with_it(folder: Path, tmp_path: Path) -> None:
    corpora = [parallel(tmp_path, "train/0", "a c c c\nb\n", "u x\nw\n"), parallel(tmp_path, "valid", "a\n", "u\n")]
    taken: JsonValue = {"path": str(folder), "role": None}
    job = make_job(tmp_path / "data", corpora, tokenizer=WHITESPACE)
    section = job.settings["preprocess"]
    assert isinstance(section, dict)
    data, _ = prepared(
        job.model_copy(update={"settings": {**job.settings, "preprocess": {**section, "vocabulary": taken}}})
    )

    vocabulary = Vocabulary.from_bytes((data / "vocabulary.source.txt").read_bytes())
    assert BOTH["source"] == vocabulary.to_bytes().decode()
    assert [5, 3, 3, 3] == vocabulary.encode(["a", "c", "c", "c"])  # unknown, though it is frequent here
