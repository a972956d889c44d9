"""Shallow fusion: scores by hand, alone and with ensembles; what a language model is told; neighbours."""

from __future__ import annotations

from math import log
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prefix_language_model import PrefixLanguageModel, random_texts, text_table
from prefix_model import PrefixModel, batch_of, from_table, random_distribution

from specforge.generation.scorers.ensemble import EnsembleScorer
from specforge.generation.scorers.fusion import FusionScorer
from specforge.models.transformer.config import TransformerConfig
from specforge.models.transformer.model import build as build_transformer
from specforge.models.transformer_lm.config import TransformerLMConfig
from specforge.models.transformer_lm.model import build as build_language_model
from specforge.plugin import ModelContext, Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build as build_beam
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.greedy.search import build as build_greedy
from specforge.searches.scorer import ModelScorer, Scorer

EOS, A, B = 2, 4, 5
SYMBOLS = Symbols(size=6)

TRANSLATING = from_table({(): {A: 0.6, B: 0.4}, (A,): {EOS: 0.9, B: 0.1}, (B,): {EOS: 0.8, A: 0.2}}, SYMBOLS.size)
FLUENT = text_table({(): {A: 0.1, B: 0.9}, (A,): {EOS: 0.5, B: 0.5}, (B,): {EOS: 1.0}}, SYMBOLS.size)


def test_the_language_model_changes_what_is_best() -> None:
    scorer = FusionScorer(ModelScorer(PrefixModel(TRANSLATING)), PrefixLanguageModel(FLUENT), 0.5)

    (found,) = build_beam(BeamConfig(beam=2, normalize=False)).search(scorer, batch_of([(A,)], SYMBOLS), SYMBOLS)

    expected = {
        (B,): log(0.4) + 0.5 * log(0.9) + log(0.8) + 0.5 * log(1.0),
        (A,): log(0.6) + 0.5 * log(0.1) + log(0.9) + 0.5 * log(0.5),
    }
    assert [(B,), (A,)] == [one.tokens for one in found]
    assert list(expected.values()) == pytest.approx([one.score for one in found])
    assert (log(0.4) + 0.5 * log(0.9), log(0.8)) == pytest.approx(found[0].token_scores)


def test_the_language_model_adds_to_the_mean_of_an_ensemble() -> None:
    other = from_table({(): {A: 0.2, B: 0.8}}, SYMBOLS.size)
    both = EnsembleScorer([ModelScorer(PrefixModel(each)) for each in (TRANSLATING, other)])
    scorer = FusionScorer(both, PrefixLanguageModel(FLUENT), 2.0)
    state = scorer.start(torch.tensor([[A, EOS]]), torch.tensor([2]), 1)

    (found,) = scorer.step(torch.tensor([EOS]), state).tolist()

    assert log(0.4) + 2.0 * log(0.1) == pytest.approx(found[A])
    assert log(0.6) + 2.0 * log(0.9) == pytest.approx(found[B])
    assert 3 == len(scorer.models())


def test_the_end_of_sentence_is_the_language_models_too() -> None:
    never_ending = text_table({(A,) * count: {A: 1.0 - 1e-6, EOS: 1e-6} for count in range(9)}, SYMBOLS.size)
    ending = from_table({(A,) * count: {A: 0.4, EOS: 0.6} for count in range(9)}, SYMBOLS.size)
    scorer = FusionScorer(ModelScorer(PrefixModel(ending)), PrefixLanguageModel(never_ending), 1.0)

    (found,) = build_greedy(GreedyConfig(max_length=(0.0, 4))).search(scorer, batch_of([(A,)], SYMBOLS), SYMBOLS)

    assert (A,) * 4 == found[0].tokens


def test_no_output_is_longer_than_the_language_models_texts() -> None:
    endless = from_table({(A,) * count: {A: 0.9, EOS: 0.1} for count in range(9)}, SYMBOLS.size)
    text = text_table({(A,) * count: {A: 0.5, EOS: 0.5} for count in range(9)}, SYMBOLS.size)

    def longest(positions: int | None, of_text: int | None) -> int:
        model = ModelScorer(PrefixModel(endless, positions))
        scorer = FusionScorer(model, PrefixLanguageModel(text, of_text), 0.1)
        (found,) = build_greedy(GreedyConfig(max_length=(0.0, 8))).search(scorer, batch_of([(A,)], SYMBOLS), SYMBOLS)
        limit = scorer.longest_target(2)
        assert limit == scorer.max_positions().get("target")
        return len(found[0].tokens)

    assert [8, 2, 3, 3] == [longest(None, None), longest(None, 3), longest(4, None), longest(4, 6)]


SENTENCES: list[tuple[int, ...]] = [(A,), (B, A, A), (A, B), (B,), (A, A, B, B, A)]
SEARCHES = {
    "beam": build_beam(BeamConfig(beam=3, max_length=(0.5, 5))),
    "greedy": build_greedy(GreedyConfig(max_length=(0.5, 5))),
}


@pytest.mark.parametrize("name", SEARCHES)
@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(len(SENTENCES))), size=st.integers(1, len(SENTENCES)), seed=st.integers(0, 20))
def test_neighbours_change_nothing(name: str, order: list[int], size: int, seed: int) -> None:
    def search(numbers: list[int]) -> list[tuple[tuple[int, ...], float]]:
        models = [ModelScorer(PrefixModel(random_distribution(seed + nth, SYMBOLS.size))) for nth in range(2)]
        scorer = FusionScorer(EnsembleScorer(models), PrefixLanguageModel(random_texts(seed, SYMBOLS.size)), 0.3)
        found = SEARCHES[name].search(scorer, batch_of([SENTENCES[number] for number in numbers], SYMBOLS), SYMBOLS)
        return [(best[0].tokens, best[0].score) for best in found]

    alone = {number: search([number])[0] for number in order}
    for start in range(0, len(order), size):
        group = order[start : start + size]
        for number, (tokens, score) in zip(group, search(group), strict=True):
            assert alone[number][0] == tokens
            assert alone[number][1] == pytest.approx(score, abs=1e-5)


def random_models() -> Scorer:
    """Two transformers and a language model, in float32."""
    torch.manual_seed(7)
    many = Symbols(40)
    small = {"embed_dim": 16, "ffn_dim": 32, "attention_heads": 2}
    config = TransformerConfig.model_validate({**small, "encoder_layers": 2, "decoder_layers": 2})
    models = [build_transformer(config, ModelContext({"source": many, "target": many})).eval() for _ in range(2)]
    of_text = TransformerLMConfig.model_validate({**small, "decoder_layers": 2})
    fluent = build_language_model(of_text, ModelContext({"text": many})).eval()
    with torch.no_grad():
        for parameter in (parameter for model in (*models, fluent) for parameter in model.parameters()):
            parameter.mul_(1.5)  # as initialised they hardly prefer anything
    return FusionScorer(EnsembleScorer([ModelScorer(model) for model in models]), fluent, 0.3)


def test_forty_groupings_of_real_models_agree() -> None:
    scorer, draw = random_models(), Random(1)
    sentences = [tuple(draw.choices(range(4, 40), k=1 + nth % 9)) for nth in range(24)]
    search = build_beam(BeamConfig(beam=3, max_length=(1.0, 3)))

    def decode(numbers: list[int]) -> list[tuple[tuple[int, ...], float]]:
        with torch.no_grad():
            found = search.search(scorer, batch_of([sentences[number] for number in numbers], Symbols(40)), Symbols(40))
        return [(best[0].tokens, best[0].score) for best in found]

    alone = [decode([number])[0] for number in range(len(sentences))]
    for _ in range(40):
        group = draw.sample(range(len(sentences)), draw.randint(2, 8))
        for number, (tokens, score) in zip(group, decode(group), strict=True):
            assert alone[number][0] == tokens
            assert alone[number][1] == pytest.approx(score, abs=1e-5)
