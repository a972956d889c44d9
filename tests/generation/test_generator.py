"""The generator: order, blank lines, limits; and with a real model, that neighbours change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from prefix_model import Distribution, Prefix, PrefixModel

from specforge.data.batch import SequencePairBatch
from specforge.data.vocabulary import Vocabulary
from specforge.foundation.errors import Place, WrongInputError
from specforge.generation.generator import Generator
from specforge.models.model import EncoderDecoder
from specforge.models.transformer.config import TransformerConfig
from specforge.models.transformer.model import build as build_transformer
from specforge.modules.packed_linear import pack_linear_layers
from specforge.plugin import ModelContext, Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build as build_beam
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.greedy.search import build as build_greedy
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Hypothesis, Search
from specforge.tokenizers.tokenizer import Tokenizer
from specforge.tokenizers.whitespace.config import WhitespaceConfig
from specforge.tokenizers.whitespace.tokenizer import WhitespaceTokenizer

EOS, UNK = 2, 3
WORDS = Vocabulary({"a": 3, "b": 2, "c": 1})  # 4, 5, 6


def copying(source: Prefix, prefix: Prefix) -> Sequence[float]:
    """A model that repeats its source, nearly sure of it."""
    probabilities = [0.05 / (len(WORDS) - 1)] * len(WORDS)
    probabilities[(*source, EOS)[len(prefix)] if len(prefix) <= len(source) else EOS] = 0.95
    return probabilities


class ShortModel(PrefixModel):
    """Takes sources of at most four symbols, the end counted."""

    def max_positions(self) -> dict[str, int]:
        return {"source": 4}


def generator(
    model: EncoderDecoder | None = None,
    search: Search | None = None,
    tokenizer: Tokenizer | None = None,
    batch_tokens: int = 64,
    *,
    shared: bool = False,
) -> Generator:
    return Generator(
        ModelScorer(model or PrefixModel(copying)),
        search or build_greedy(GreedyConfig()),
        {"source": WORDS, "target": WORDS},
        tokenizer or WhitespaceTokenizer(WhitespaceConfig()),
        batch_tokens,
        torch.device("cpu"),
        shared=shared,
    )


def test_a_line_for_each_line_in_the_order_of_the_input() -> None:
    lines = ["a", "c b a c b a c", "", "b  b", "\u2028 \t", "a b c"] * 9

    translations = generator().translate(lines)

    assert lines == [each.source for each in translations]
    assert ["a", "c b a c b a c", "", "b b", "", "a b c"] * 9 == [each.text for each in translations]
    assert ("c", "b", "a", "c", "b", "a", "c") == translations[1].pieces


def test_a_blank_line_is_never_decoded() -> None:
    model = PrefixModel(copying)

    (translation,) = generator(model).translate([" \u00a0"])

    assert [] == model.states
    assert ("", (), 0.0, 0) == (translation.text, translation.pieces, translation.score, translation.unknown)


class CharacterTokenizer(WhitespaceTokenizer):
    """Every character is a piece, spaces too."""

    def encode(self, role: str, lines: Sequence[str]) -> list[list[str]]:
        del role
        return [list(line) for line in lines]


def test_a_blank_line_is_blank_whatever_the_tokenizer_makes_of_it() -> None:
    translations = generator(tokenizer=CharacterTokenizer(WhitespaceConfig())).translate(["a", "  ", "\u3000"])

    assert ["a", "", ""] == [each.text for each in translations]


def test_scores_and_unknown_pieces_are_reported() -> None:
    (translation,) = generator().translate(["a x y"])

    assert 2 == translation.unknown
    assert "a <unk> <unk>" == translation.text
    assert np.log(0.95) == pytest.approx(translation.score)


def test_a_line_over_the_models_positions_is_named_and_nothing_is_cut_off() -> None:
    with pytest.raises(WrongInputError) as caught:
        generator(ShortModel(copying)).translate(["a b c", "a b c a", "a", "a b c a b", "a a a a"])

    assert ("SF506", Place("input", 2)) == (caught.value.code, caught.value.place)
    assert "a line of 5 tokens, the end counted, is more than the model's 4 positions" == caught.value.message
    assert ("3 lines are too long, the next at input:4",) == caught.value.notes


def test_who_calls_says_where_a_line_stands() -> None:
    with pytest.raises(WrongInputError) as caught:
        generator(ShortModel(copying)).translate(["a b c a"], where=lambda number: Place("test.en", number + 70))

    assert Place("test.en", 70) == caught.value.place


class BytesTokenizer(WhitespaceTokenizer):
    """Decodes one piece as a line end, as tokenizers that fall back to bytes may."""

    def decode(self, role: str, pieces: Sequence[str]) -> str:
        return super().decode(role, pieces).replace("b", "\n").replace("c", "\r")


def test_a_translation_is_one_line() -> None:
    decoder = generator(tokenizer=BytesTokenizer(WhitespaceConfig()))

    (translation,) = decoder.translate(["a b a c"])

    assert "a   a  " == translation.text
    assert "a  " == decoder.text(Hypothesis((4, 5), 0.0, ()))


def test_progress_counts_blank_lines_too() -> None:
    heard: list[int] = []

    generator(batch_tokens=32).translate(["a", "", "b", "c", "a"], heard.append)

    assert [3, 5] == heard


@pytest.mark.parametrize(("shared", "expected"), [(False, [100]), (True, [64, 100])])
def test_batches_are_smaller_where_cores_share_them(*, shared: bool, expected: list[int]) -> None:
    """100 lines that count as 16 tokens each: 1,600, of which a batch takes 1,024 where an eighth is less."""
    heard: list[int] = []

    generator(batch_tokens=2_000, shared=shared).translate(["a"] * 100, heard.append)

    assert expected == heard


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_evaluated_without_gradients_and_put_back(training: bool) -> None:  # noqa: FBT001  # both modes
    seen: list[tuple[bool, bool]] = []

    def watching(source: Prefix, prefix: Prefix) -> Sequence[float]:
        seen.append((model.training, torch.is_grad_enabled()))
        return copying(source, prefix)

    distribution: Distribution = watching
    model = PrefixModel(distribution).train(training)
    generator(model).translate(["a"])

    assert {(False, False)} == set(seen)
    assert training == model.training


def random_transformer() -> EncoderDecoder:
    torch.manual_seed(5)
    symbols = Symbols(size=40)
    config = TransformerConfig(
        encoder_layers=2, decoder_layers=2, embed_dim=16, ffn_dim=32, attention_heads=2, share_embeddings="none"
    )
    model = build_transformer(config, ModelContext({"source": symbols, "target": symbols}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)  # as initialised it hardly prefers anything; much more would magnify rounding
    return model


MODEL = random_transformer()
pack_linear_layers(MODEL, "fp32")  # as the generate step does
VOCABULARY = Vocabulary({f"w{number}": 1 for number in range(36)})


def decode(sentences: list[NDArray[np.int64]], search: Search, batch_tokens: int) -> list[list[Hypothesis]]:
    vocabularies = {"source": VOCABULARY, "target": VOCABULARY}
    tokenizer = WhitespaceTokenizer(WhitespaceConfig())
    return Generator(ModelScorer(MODEL), search, vocabularies, tokenizer, batch_tokens, torch.device("cpu")).generate(
        sentences
    )


SENTENCES = [np.array([*np.random.default_rng(number).integers(3, 40, 1 + number % 9), EOS]) for number in range(40)]
SEARCHES = {
    "beam": build_beam(BeamConfig(beam=3, max_length=(1.5, 4), lenpen=0.7)),
    "greedy": build_greedy(GreedyConfig(max_length=(1.5, 4))),
}


@cache
def alone(name: str) -> list[list[Hypothesis]]:
    """What each sentence gets in a batch of its own."""
    return [decode([sentence], SEARCHES[name], 1)[0] for sentence in SENTENCES]


GROUPINGS = given(
    chosen=st.lists(st.integers(0, len(SENTENCES) - 1), min_size=1, max_size=40),
    batch_tokens=st.sampled_from([16, 50, 100, 200, 1_000]),
    name=st.sampled_from(sorted(SEARCHES)),
)


@settings(deadline=None, max_examples=25)
@GROUPINGS
def test_what_a_sentence_gets_does_not_depend_on_its_neighbours(
    chosen: list[int], batch_tokens: int, name: str
) -> None:
    check_grouping(chosen, batch_tokens, name)


@pytest.mark.slow
@settings(deadline=None, max_examples=2_000)
@GROUPINGS
def test_nor_does_it_in_two_thousand_groupings(chosen: list[int], batch_tokens: int, name: str) -> None:
    check_grouping(chosen, batch_tokens, name)


def check_grouping(chosen: list[int], batch_tokens: int, name: str) -> None:
    found = decode([SENTENCES[number] for number in chosen], SEARCHES[name], batch_tokens)

    for number, hypotheses in zip(chosen, found, strict=True):
        expected = alone(name)[number]
        assert [each.tokens for each in expected] == [each.tokens for each in hypotheses]
        for one, other in zip(expected, hypotheses, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-5)
            assert one.token_scores == pytest.approx(other.token_scores, abs=1e-4)


def test_the_sample_is_worth_looking_at() -> None:
    best = [hypotheses[0] for hypotheses in alone("beam")]

    assert len({hypothesis.tokens for hypothesis in best}) > len(SENTENCES) // 2
    assert len({len(hypothesis.tokens) for hypothesis in best}) > 4


def test_the_scores_are_those_of_the_full_decoder() -> None:
    for sentence, hypotheses in zip(SENTENCES[:8], alone("beam")[:8], strict=True):
        for hypothesis in hypotheses:
            target = torch.tensor([[*hypothesis.tokens, EOS]])
            length = torch.tensor([target.shape[1]])
            shifted = torch.cat([torch.tensor([[EOS]]), target[:, :-1]], dim=1)
            source = torch.from_numpy(sentence)[None]
            batch = SequencePairBatch(
                source, torch.tensor([len(sentence)]), shifted, target, length, target_tokens=int(length)
            )
            with torch.no_grad():
                log_probs = MODEL.eval().project(MODEL.features(batch)).log_softmax(-1)
            expected = log_probs.gather(2, target[:, :, None]).flatten().tolist()

            assert expected == pytest.approx(list(hypothesis.token_scores), abs=1e-4)
            assert sum(expected) / len(expected) ** 0.7 == pytest.approx(hypothesis.score, abs=1e-4)
