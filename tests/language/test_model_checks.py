"""What the model's config says of the data, held against [preprocess] and the tokenizer before any data are read."""

from __future__ import annotations

import pytest
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.language.messages.diagnostics import Diagnostic, SpecError
from specforge.models.fconv.config import FConvConfig
from specforge.models.transformer.config import TransformerConfig
from specforge.plugin import LearnedPieces, ModelConfig, TokenizerConfig
from specforge.tokenizers.sentencepiece.config import SentencePieceConfig


def wrong(small: SmallExperiment, *words: str) -> list[Diagnostic]:
    """Return what is wrong with the small experiment under some assignments."""
    try:
        small.spec(*words)
    except SpecError as error:
        return list(error.diagnostics)
    return []


@pytest.mark.parametrize(
    ("words", "longest"),
    [
        (["preprocess.max_length=101", "model.max_positions=100"], 100),
        (["preprocess.max_length=100", "model.max_positions=100"], None),
        (["preprocess.max_length=5000"], None),  # sinusoidal positions have no end
        (["model.max_positions=100"], None),  # what the data hold is seen when they are read
    ],
)
def test_items_longer_than_the_positions(words: list[str], longest: int | None, small: SmallExperiment) -> None:
    found = wrong(small, *words)

    assert ([] if longest is None else ["SF401"]) == [diagnostic.code for diagnostic in found]
    if longest is not None:
        assert ["up to 101 tokens", "this takes up to 100"] == [label.text for label in found[0].labels]
        assert found[0].help is not None
        assert "max_length = 100" in found[0].help


def test_a_limit_that_is_a_default_stands_at_the_models_name(small: SmallExperiment) -> None:
    small.write_spec(SMALL_SPEC[: SMALL_SPEC.index("[model]")] + "[model]\nuse = 'fconv'\n[train]\nmax_updates = 1\n")

    (found,) = wrong(small, "preprocess.max_length=1023")

    assert "SF401" == found.code
    assert [("--set", "up to 1,023 tokens"), ("small.toml", "this takes up to 1,022")] == [
        (label.source.name.rpartition("/")[2], label.text) for label in found.labels
    ]
    assert [] == wrong(small, "preprocess.max_length=1022")


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (["model.share_embeddings='all'"], ["SF301"]),
        (["model.share_embeddings='all'", "preprocess.joined_dictionary=true"], []),
        (["model.share_embeddings='decoder'"], []),
        (["tokenizer.use='sentencepiece'", "model.share_embeddings='all'"], []),
        (["tokenizer={use='sentencepiece', shared=false}", "model.share_embeddings='all'"], ["SF301"]),
        (
            ["tokenizer.use='sentencepiece'", "preprocess.joined_dictionary=false", "model.share_embeddings='all'"],
            ["SF301"],
        ),
    ],
)
def test_a_table_for_both_sides_needs_one_vocabulary(
    words: list[str], codes: list[str], small: SmallExperiment
) -> None:
    found = wrong(small, *words)

    assert codes == [diagnostic.code for diagnostic in found]
    assert all(len(diagnostic.labels) == 2 for diagnostic in found)


def test_what_a_config_says_by_default() -> None:
    assert {} == ModelConfig().longest_items()
    assert ModelConfig().needs_joined_vocabulary() is None
    assert LearnedPieces("word", None) == TokenizerConfig().learned_pieces()


def test_what_the_built_in_models_say() -> None:
    assert {} == TransformerConfig().longest_items()
    assert {"source": 9, "target": 9} == TransformerConfig(max_positions=9).longest_items()
    assert {"source": 1_022, "target": 1_022} == FConvConfig().longest_items()


@pytest.mark.parametrize(
    ("model_type", "learned"),
    [
        ("bpe", LearnedPieces("subword", 97)),
        ("unigram", LearnedPieces("subword", 97)),
        ("char", LearnedPieces("character")),
        ("word", LearnedPieces("word")),
    ],
)
def test_what_sentencepiece_will_learn(model_type: str, learned: LearnedPieces) -> None:
    config = SentencePieceConfig.model_validate({"model_type": model_type, "vocab_size": 100})

    assert learned == config.learned_pieces()
