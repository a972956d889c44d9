"""Greedy search: by hand, and as beam search with one beam."""

from __future__ import annotations

from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefix_model import Prefix, PrefixModel, batch_of, from_table, random_distribution

from specforge.foundation.errors import StepFailedError
from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build as build_beam
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.greedy.search import build
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Sources

EOS, A, B = 2, 4, 5
SYMBOLS = Symbols(size=6)


def test_follows_the_best_symbol() -> None:
    table = {(): {A: 0.6, B: 0.4}, (A,): {B: 0.5, EOS: 0.3, A: 0.2}, (A, B): {EOS: 0.9, A: 0.1}}
    model = PrefixModel(from_table(table, 6))

    ((best,),) = build(GreedyConfig()).search(ModelScorer(model), batch_of([(A,)], SYMBOLS), SYMBOLS)

    assert (A, B) == best.tokens
    assert [log(0.6), log(0.5), log(0.9)] == pytest.approx(best.token_scores)
    assert (log(0.6) + log(0.5) + log(0.9)) / 3 == pytest.approx(best.score)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**30),
    min_length=st.integers(0, 3),
    positions=st.sampled_from([None, 3, 50]),
    sources=st.lists(st.lists(st.integers(3, 5), max_size=4).map(tuple), min_size=1, max_size=6),
)
def test_equals_beam_search_with_one_beam(
    seed: int, min_length: int, positions: int | None, sources: list[Prefix]
) -> None:
    model = PrefixModel(random_distribution(seed, SYMBOLS.size), positions)
    batch = batch_of(sources, SYMBOLS)
    beam = BeamConfig(beam=1, max_length=(1.0, 2), min_length=min_length)
    greedy = GreedyConfig(max_length=(1.0, 2), min_length=min_length)

    expected = build_beam(beam).search(ModelScorer(model), batch, SYMBOLS)
    found = build(greedy).search(ModelScorer(model), batch, SYMBOLS)

    assert [each[0].tokens for each in expected] == [each[0].tokens for each in found]
    assert [each[0].score for each in expected] == pytest.approx([each[0].score for each in found])
    assert [each[0].token_scores for each in expected] == [each[0].token_scores for each in found]


def test_no_sentences_give_no_hypotheses() -> None:
    one = batch_of([(A,)], SYMBOLS)
    none = Sources(one.tokens[:0], one.lengths[:0])
    model = PrefixModel(random_distribution(0, 6))

    assert [] == build(GreedyConfig()).search(ModelScorer(model), none, SYMBOLS)


def test_scores_that_are_not_numbers_end_the_search() -> None:
    model = PrefixModel(lambda _source, _prefix: [float("nan")] * 6)

    with pytest.raises(StepFailedError) as caught:
        build(GreedyConfig()).search(ModelScorer(model), batch_of([(A,)], SYMBOLS), SYMBOLS)

    assert "SF633" == caught.value.code
