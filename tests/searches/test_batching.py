"""What a sentence gets depends on nothing but itself: every search, over random groupings and orders."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefix_model import Prefix, PrefixModel, batch_of, random_attention, random_distribution

from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build as build_beam
from specforge.searches.constrained.config import ConstrainedConfig
from specforge.searches.constrained.search import build as build_constrained
from specforge.searches.diverse_beam.config import DiverseBeamConfig
from specforge.searches.diverse_beam.search import build as build_diverse
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.greedy.search import build as build_greedy
from specforge.searches.sampling.config import SamplingConfig
from specforge.searches.sampling.search import build as build_sampling
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Constraints, Hypothesis, Search

SYMBOLS = Symbols(size=6)

OPTIONS = {"max_length": (1.5, 1), "min_length": (0.5, 0), "no_repeat_ngram": 2, "unkpen": 0.5}
BEAM = {**OPTIONS, "beam": 4, "coverage_penalty": 0.3, "lenpen_form": "gnmt", "temperature": 1.5}
SEARCHES: dict[str, Search] = {
    "beam": build_beam(BeamConfig.model_validate(BEAM)),
    "best": build_beam(BeamConfig.model_validate({**BEAM, "finish": "best", "early_stop": True})),
    "greedy": build_greedy(GreedyConfig.model_validate(OPTIONS)),
    "sampling": build_sampling(SamplingConfig.model_validate({**OPTIONS, "samples": 3, "top_k": 4, "top_p": 0.9})),
    "diverse_beam": build_diverse(DiverseBeamConfig.model_validate({**BEAM, "groups": 2})),
    "constrained": build_constrained(ConstrainedConfig.model_validate({**BEAM, "max_length": (1.0, 12)})),
}

SENTENCES: list[tuple[Prefix, Constraints]] = [
    ((), Constraints()),
    ((4,), Constraints(prefix=(5,))),
    ((4,), Constraints()),
    ((5, 4), Constraints(phrases=((4, 5), (3,)))),
    ((5, 4, 3), Constraints()),
    ((3, 3, 3, 4), Constraints(prefix=(4, 4), phrases=((5,),))),
    ((4, 5, 4, 5, 4), Constraints(prefix=(3, 2))),
]


def decode(name: str, seed: int, sentences: Sequence[int]) -> list[list[Hypothesis]]:
    chosen = [SENTENCES[number] for number in sentences]
    constraints = [each if name == "constrained" else Constraints(prefix=each.prefix) for _, each in chosen]
    model = PrefixModel(random_distribution(seed, 6), positions=30, attention=random_attention(seed))
    batch = batch_of([source for source, _ in chosen], SYMBOLS, constraints)
    return SEARCHES[name].search(ModelScorer(model), batch, SYMBOLS, attention=True)


@pytest.mark.parametrize("name", SEARCHES)
@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 2**30),
    order=st.permutations(range(len(SENTENCES))),
    sizes=st.lists(st.integers(1, len(SENTENCES)), min_size=len(SENTENCES), max_size=len(SENTENCES)),
)
def test_no_grouping_changes_what_a_sentence_gets(name: str, seed: int, order: list[int], sizes: list[int]) -> None:
    alone = {number: decode(name, seed, [number])[0] for number in order}
    rest = list(order)
    for size in sizes:
        group, rest = rest[:size], rest[size:]
        if not group:
            break
        for number, found in zip(group, decode(name, seed, group), strict=True):
            assert alone[number] == found
            for expected, hypothesis in zip(alone[number], found, strict=True):
                assert expected.attention is not None
                assert hypothesis.attention is not None
                assert expected.attention.tolist() == hypothesis.attention.tolist()


@pytest.mark.parametrize(
    ("name", "rows"),
    [("beam", 4), ("best", 4), ("greedy", 1), ("sampling", 3), ("diverse_beam", 4), ("constrained", 4)],
)
def test_a_search_says_how_many_rows_a_sentence_costs(name: str, rows: int) -> None:
    model = PrefixModel(random_distribution(0, 6), attention=random_attention(0))

    SEARCHES[name].search(ModelScorer(model), batch_of([(4,), (5, 4)], SYMBOLS), SYMBOLS)

    assert rows == SEARCHES[name].prefixes
    assert 2 * rows == model.rows[0]


@pytest.mark.parametrize("name", SEARCHES)
def test_no_sentences_give_no_hypotheses(name: str) -> None:
    one = batch_of([(4,)], SYMBOLS)
    model = PrefixModel(random_distribution(0, 6))

    assert [] == SEARCHES[name].search(ModelScorer(model), type(one)(one.tokens[:0], one.lengths[:0]), SYMBOLS)
