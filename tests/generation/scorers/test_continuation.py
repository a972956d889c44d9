"""Texts that go on: what the language model sees, positions that source and target share, neighbours of other lengths."""

from __future__ import annotations

from math import log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prefix_language_model import PrefixLanguageModel, random_texts, text_table
from prefix_model import batch_of

from specforge.generation.scorers.continuation import ContinuationScorer
from specforge.generation.scorers.ensemble import EnsembleScorer
from specforge.models.transformer_lm.config import TransformerLMConfig
from specforge.models.transformer_lm.model import build
from specforge.plugin import ModelContext, Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build as build_beam
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.greedy.search import build as build_greedy
from specforge.searches.scorer import Scorer
from specforge.searches.search import Search

EOS, A, B = 2, 4, 5
SYMBOLS = Symbols(size=6)


def test_a_text_goes_on_where_the_source_ends() -> None:
    model = PrefixLanguageModel(
        text_table({(A,): {A: 0.2, B: 0.8}, (A, B): {EOS: 0.7, A: 0.3}, (B, B): {A: 0.9, EOS: 0.1}}, SYMBOLS.size)
    )

    found = build_greedy(GreedyConfig()).search(ContinuationScorer(model), batch_of([(A,), (B, B)], SYMBOLS), SYMBOLS)

    assert [(B,), (A,)] == [best[0].tokens for best in found]  # the table says nothing of (B, B, A): the end is sure
    assert (log(0.8), log(0.7)) == pytest.approx(found[0][0].token_scores)


def test_an_empty_source_begins_a_text() -> None:
    model = PrefixLanguageModel(text_table({(): {B: 1.0}}, SYMBOLS.size))

    (found,) = build_greedy(GreedyConfig()).search(ContinuationScorer(model), batch_of([()], SYMBOLS), SYMBOLS)

    assert (B,) == found[0].tokens


@pytest.mark.parametrize("search", [build_greedy(GreedyConfig()), build_beam(BeamConfig(beam=2))])
def test_source_and_target_share_the_models_positions(search: Search) -> None:
    endless = PrefixLanguageModel(lambda _: [0.0, 0.0, 1e-6, 0.0, 0.6, 0.4 - 1e-6], positions=6)
    scorer = ContinuationScorer(endless)

    found = search.search(scorer, batch_of([(A,), (B, A, A), (A, A, A, A, A)], SYMBOLS), SYMBOLS)

    # EOS and source and target make 6 symbols that are read; the end that is predicted last is not
    assert [4, 2, 0] == [len(best[0].tokens) for best in found]
    assert {"source": 6, "target": 6} == scorer.max_positions()


def test_a_model_without_positions_leaves_any_length() -> None:
    scorer = ContinuationScorer(PrefixLanguageModel(random_texts(1, SYMBOLS.size)))

    assert {} == scorer.max_positions()
    assert scorer.longest_target(7) is None


SENTENCES: list[tuple[int, ...]] = [(A,), (B, A, A), (A, B, 7, 9), (B,), (A, A, B, B, A, 11, 8, 6)]


def random_model(seed: int, **values: object) -> Scorer:
    torch.manual_seed(seed)
    small = {"decoder_layers": 2, "embed_dim": 16, "ffn_dim": 24, "attention_heads": 2}
    model = build(TransformerLMConfig.model_validate({**small, **values}), ModelContext({"text": Symbols(12)}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)  # as initialised it hardly prefers anything
    return ContinuationScorer(model.eval())


SEARCHES = {
    "beam": build_beam(BeamConfig(beam=3, max_length=(0.5, 5))),
    "greedy": build_greedy(GreedyConfig(max_length=(0.5, 5))),
}
SCORERS: dict[str, Scorer] = {
    "sinusoidal": random_model(1),
    "learned": random_model(2, positions="learned", max_positions=12, norm="post"),
    "ensemble": EnsembleScorer([random_model(3), random_model(4)]),
}


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("scorer", SCORERS)
@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(len(SENTENCES))), size=st.integers(1, len(SENTENCES)))
def test_neighbours_of_other_lengths_change_nothing(search: str, scorer: str, order: list[int], size: int) -> None:
    def decode(numbers: list[int]) -> list[tuple[tuple[int, ...], float]]:
        sources = batch_of([SENTENCES[number] for number in numbers], Symbols(12))
        with torch.no_grad():
            found = SEARCHES[search].search(SCORERS[scorer], sources, Symbols(12))
        return [(best[0].tokens, best[0].score) for best in found]

    alone = {number: decode([number])[0] for number in order}
    for start in range(0, len(order), size):
        group = order[start : start + size]
        for number, (tokens, score) in zip(group, decode(group), strict=True):
            assert alone[number][0] == tokens
            assert alone[number][1] == pytest.approx(score, abs=1e-5)
