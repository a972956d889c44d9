"""`preprocess.vocabulary`: what must agree between a spec and the model folder whose vocabulary it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_experiment import SmallExperiment
from spec_model_folder import spec_model_folder

from specforge.language.messages.diagnostics import Diagnostic, SpecError
from specforge.language.resolve import load_spec
from specforge.language.text.tree_text import resolved_text
from specforge.tokenizers.sentencepiece.config import SentencePieceConfig

BOTH = {"source": "one 1\n", "target": "eins 1\n"}
SENTENCEPIECE = {"use": "specforge/sentencepiece", **SentencePieceConfig(vocab_size=20, shared=False).model_dump()}


@pytest.fixture
def folders(small: SmallExperiment) -> SmallExperiment:
    spec_model_folder(small.folder / "both", vocabularies=BOTH)
    spec_model_folder(small.folder / "text", "transformer_lm", vocabularies={"text": "eins 1\n"})
    spec_model_folder(small.folder / "pieces", tokenizer=SENTENCEPIECE, vocabularies=BOTH)
    return small


def faults(small: SmallExperiment, *assignments: str) -> list[Diagnostic]:
    with pytest.raises(SpecError) as caught:
        small.spec(*assignments)
    return list(caught.value.diagnostics)


def test_a_path_is_short_for_a_table_and_starts_from_its_file(folders: SmallExperiment) -> None:
    short = folders.spec("preprocess.vocabulary='both'").preprocess.vocabulary
    long = folders.spec("preprocess.vocabulary={path='both', role='target'}").preprocess.vocabulary

    assert short is not None
    assert long is not None
    assert (str(Path.cwd() / "both"), None) == (short.path, short.role)
    assert (str(Path.cwd() / "both"), "target") == (long.path, long.role)


def test_a_resolved_spec_loads_to_the_same(folders: SmallExperiment) -> None:
    spec = folders.spec("preprocess.vocabulary='both'")

    assert load_spec(folders.folder / "other.toml", text=resolved_text(spec)).preprocess == spec.preprocess


def test_a_tokenizer_that_is_taken_over_has_no_step(folders: SmallExperiment) -> None:
    pieces = 'tokenizer={use="sentencepiece", vocab_size=20, shared=false}'

    assert folders.spec(pieces).learns_tokenizer
    assert not folders.spec(pieces, "preprocess.vocabulary='pieces'").learns_tokenizer


def test_the_tokenizer_must_be_that_of_the_folder(folders: SmallExperiment) -> None:
    (other,) = faults(folders, "preprocess.vocabulary='pieces'")
    learned = 'tokenizer={use="sentencepiece", vocab_size=30, byte_fallback=true}'
    (differs,) = faults(folders, "preprocess.vocabulary='pieces'", learned)

    assert ("SF301", "the vocabulary was made with another tokenizer") == (other.code, other.message)
    assert other.help is not None
    assert other.help.startswith(
        'write `tokenizer = { use = "sentencepiece", model_type = "unigram", vocab_size = 20, '
    )
    assert "the vocabulary was made with a tokenizer with `vocab_size = 20`" == differs.message
    expected = 'tokenizer = { use = "sentencepiece", vocab_size = 20, shared = false, byte_fallback = false }'
    assert f"write `{expected}`" == differs.help
    assert folders.spec("preprocess.vocabulary='pieces'", expected.replace("tokenizer = ", "tokenizer="))


@pytest.mark.parametrize(
    ("assignments", "code", "message"),
    [
        (["preprocess.vocabulary='bth'"], "SF501", "no such folder: `bth`"),
        (["preprocess.vocabulary='.'"], "SF672", "`.` is no model folder: it has no `model.json`"),
        (["preprocess.vocabulary='text'"], "SF301", "the folder has no vocabulary of `source`"),
        (["preprocess.vocabulary={path='both', role='text'}"], "SF301", "the folder has no vocabulary of `text`"),
        (
            ["preprocess.vocabulary='both'", "preprocess.nwords_target=7"],
            "SF301",
            "`nwords_target` does nothing where the vocabulary is taken from a model folder",
        ),
        (
            [
                "preprocess.vocabulary={path='pieces', role='target'}",
                'tokenizer={use="sentencepiece", vocab_size=20, shared=false}',
            ],
            "SF301",
            "the folder has a tokenizer for each column, and none for `source`",
        ),
    ],
)
def test_what_does_not_fit_is_told(folders: SmallExperiment, assignments: list[str], code: str, message: str) -> None:
    (found,) = faults(folders, *assignments)

    assert (code, message) == (found.code, found.message)
    assert found.labels[0].primary
