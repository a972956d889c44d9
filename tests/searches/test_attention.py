"""What hypotheses say they looked at: what the model said along their own prefix, wherever their rows stood."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefix_model import Attention, Prefix, PrefixModel, batch_of, random_attention, random_distribution

from specforge.foundation.errors import WrongInputError
from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build as build_beam
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.greedy.search import build as build_greedy
from specforge.searches.sampling.config import SamplingConfig
from specforge.searches.sampling.search import build as build_sampling
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Hypothesis, Search

SYMBOLS = Symbols(size=6)
SEARCHES: dict[str, Search] = {
    "beam": build_beam(BeamConfig(beam=3, max_length=(1.0, 2))),
    "greedy": build_greedy(GreedyConfig(max_length=(1.0, 2))),
    "sampling": build_sampling(SamplingConfig(samples=3, max_length=(1.0, 2))),
}


def expected(attention: Attention, source: Prefix, hypothesis: Hypothesis) -> list[list[float]]:
    prefixes = [hypothesis.tokens[:length] for length in range(len(hypothesis.tokens) + 1)]
    return [list(attention(source, prefix)) for prefix in prefixes]


@pytest.mark.parametrize("name", SEARCHES)
@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**30),
    sources=st.lists(st.lists(st.integers(3, 5), max_size=4).map(tuple), min_size=1, max_size=5),
)
def test_each_symbol_knows_what_it_looked_at(name: str, seed: int, sources: list[Prefix]) -> None:
    attention = random_attention(seed)
    model = PrefixModel(random_distribution(seed, SYMBOLS.size), attention=attention)
    batch = batch_of(sources, SYMBOLS)

    found = SEARCHES[name].search(ModelScorer(model), batch, SYMBOLS, attention=True)

    for source, hypotheses in zip(sources, found, strict=True):
        for hypothesis in hypotheses:
            assert hypothesis.attention is not None
            assert (len(hypothesis.tokens) + 1, len(source) + 1) == hypothesis.attention.shape
            for row, wanted in zip(hypothesis.attention.tolist(), expected(attention, source, hypothesis), strict=True):
                assert wanted == pytest.approx(row, abs=1e-6)


@pytest.mark.parametrize("name", SEARCHES)
def test_there_is_none_where_nobody_asks_or_nobody_knows(name: str) -> None:
    distribution = random_distribution(0, SYMBOLS.size)
    batch = batch_of([(4, 5)], SYMBOLS)
    knowing = ModelScorer(PrefixModel(distribution, attention=random_attention(0)))
    blind = ModelScorer(PrefixModel(distribution))

    (unasked,) = SEARCHES[name].search(knowing, batch, SYMBOLS)
    (unknown,) = SEARCHES[name].search(blind, batch, SYMBOLS, attention=True)

    assert {None} == {hypothesis.attention for hypothesis in (*unasked, *unknown)}


def test_a_penalty_that_needs_attention_shows_none_of_it_unasked() -> None:
    model = PrefixModel(random_distribution(0, SYMBOLS.size), attention=random_attention(0))
    search = build_beam(BeamConfig(beam=3, coverage_penalty=0.2))

    (found,) = search.search(ModelScorer(model), batch_of([(4, 5)], SYMBOLS), SYMBOLS)

    assert {None} == {hypothesis.attention for hypothesis in found}


def test_a_penalty_that_needs_attention_says_where_there_is_none() -> None:
    search = build_beam(BeamConfig(coverage_penalty=0.2))

    with pytest.raises(WrongInputError) as caught:
        search.search(
            ModelScorer(PrefixModel(random_distribution(0, SYMBOLS.size))), batch_of([(4, 5)], SYMBOLS), SYMBOLS
        )

    assert "SF687" == caught.value.code
