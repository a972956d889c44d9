"""Rules that all searches share: bounds of a sentence's own, repetitions, prefixes."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefix_model import Distribution, Prefix, PrefixModel, batch_of, from_table, random_distribution
from pydantic import ValidationError
from slow_beam import slow_beam

from specforge.foundation.errors import WrongInputError
from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build as build_beam
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.greedy.search import build as build_greedy
from specforge.searches.sampling.config import SamplingConfig
from specforge.searches.sampling.search import build as build_sampling
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Constraints, Hypothesis, Search

EOS, UNK, A, B = 2, 3, 4, 5
SYMBOLS = Symbols(size=6)
ENDLESS = from_table({(A,) * length: {A: 0.99, B: 0.006, EOS: 0.004} for length in range(30)}, 6)


def decode(
    search: Search,
    distribution: Distribution,
    sources: Sequence[Prefix] = ((A,),),
    constraints: Sequence[Constraints] = (),
    positions: int | None = None,
) -> list[list[Hypothesis]]:
    model = PrefixModel(distribution, positions)
    return search.search(ModelScorer(model), batch_of(sources, SYMBOLS, constraints), SYMBOLS)


def test_the_least_length_depends_on_the_sentence_alone() -> None:
    eager = from_table({(A,) * length: {EOS: 0.9, A: 0.1} for length in range(30)}, 6)
    sources = [(A,) * 1, (A,) * 5, (A,) * 2]

    found = decode(build_greedy(GreedyConfig(min_length=(0.5, 1))), eager, sources)

    # half the length with its end, rounded down, and one more
    assert [2, 4, 2] == [len(best[0].tokens) for best in found]


def test_bounds_are_rounded_down() -> None:
    config = GreedyConfig(max_length=(0.5, 4), min_length=(0.5, 0))

    assert (5, 1) == (config.longest(3, None), config.shortest(3))  # 5.5 and 1.5


def test_match_source_length_bounds_by_the_source_whatever_max_length_says() -> None:
    sources = [(A,) * 1, (A,) * 5, (A,) * 2]

    found = decode(build_greedy(GreedyConfig(match_source_length=True, max_length=(0, 1))), ENDLESS, sources)

    assert [2, 6, 3] == [len(best[0].tokens) for best in found]  # the source's end counted


def test_the_greatest_length_wins_where_bounds_part() -> None:
    found = decode(build_greedy(GreedyConfig(min_length=5, max_length=(1, 1))), ENDLESS, [(A,)])

    assert (A, A, A) == found[0][0].tokens


def test_no_symbol_twice() -> None:
    # a then the end or b; nothing else is left once both stand there
    (found,) = decode(build_greedy(GreedyConfig(no_repeat_ngram=1)), ENDLESS)

    assert (A, B) == found[0].tokens
    assert [log(0.99), log(0.006), 0.0] == pytest.approx(found[0].token_scores)


def test_no_pair_twice() -> None:
    table = {
        (): {A: 1.0},
        (A,): {B: 1.0},
        (A, B): {A: 1.0},
        (A, B, A): {B: 0.9, A: 0.06, EOS: 0.04},
        (A, B, A, A): {A: 0.9, B: 0.05, EOS: 0.05},
    }

    (found,) = decode(build_greedy(GreedyConfig(no_repeat_ngram=2, unkpen=9.0)), from_table(table, 6))

    # after `a b a`, b would make `a b` again; after `a b a a`, a would make `a a` again and b `a b`
    assert (A, B, A, A) == found[0].tokens


SEARCHES: dict[str, Search] = {
    "beam": build_beam(BeamConfig(beam=3, max_length=(1.0, 2), no_repeat_ngram=2)),
    "greedy": build_greedy(GreedyConfig(max_length=(1.0, 2), no_repeat_ngram=2)),
    "sampling": build_sampling(SamplingConfig(samples=3, max_length=(1.0, 2), no_repeat_ngram=2)),
}


@pytest.mark.parametrize("name", SEARCHES)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**30), prefixes=st.lists(st.lists(st.integers(3, 5), max_size=6), min_size=1, max_size=5))
def test_every_output_begins_as_it_must(name: str, seed: int, prefixes: list[list[int]]) -> None:
    constraints = [Constraints(prefix=tuple(prefix)) for prefix in prefixes]
    sources = [(A,) * (number % 3) for number, _ in enumerate(prefixes)]

    found = decode(SEARCHES[name], random_distribution(seed, 6), sources, constraints)

    for source, prefix, hypotheses in zip(sources, prefixes, found, strict=True):
        for hypothesis in hypotheses:
            assert tuple(prefix) == hypothesis.tokens[: len(prefix)]
            assert max(len(prefix), len(source) + 3) >= len(hypothesis.tokens)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**30),
    beam=st.integers(1, 4),
    ngram=st.integers(0, 2),
    prefixes=st.lists(st.lists(st.integers(2, 5), max_size=5).map(tuple), min_size=1, max_size=4),
)
def test_beam_search_goes_on_after_the_prefix_as_a_slow_one_does(
    seed: int, beam: int, ngram: int, prefixes: list[Prefix]
) -> None:
    distribution = random_distribution(seed, 6)
    sources = [(A,) * (number % 3) for number, _ in enumerate(prefixes)]
    config = BeamConfig(beam=beam, max_length=(1.0, 1), no_repeat_ngram=ngram)

    found = decode(build_beam(config), distribution, sources, [Constraints(prefix=prefix) for prefix in prefixes])

    for source, prefix, hypotheses in zip(sources, prefixes, found, strict=True):
        whole = prefix[: prefix.index(EOS) + 1] if EOS in prefix else prefix
        expected = slow_beam(distribution, source, config, longest=len(source) + 2, forced=whole)
        assert [each.tokens for each in expected] == [hypothesis.tokens for hypothesis in hypotheses]
        assert [each.score for each in expected] == pytest.approx([hypothesis.score for hypothesis in hypotheses])


@pytest.mark.parametrize("name", SEARCHES)
def test_an_end_inside_of_the_prefix_is_the_end(name: str) -> None:
    (found, others) = decode(
        SEARCHES[name], random_distribution(1, 6), [(A,), (A,)], [Constraints(prefix=(A, EOS, B)), Constraints()]
    )

    assert {(A,)} == {hypothesis.tokens for hypothesis in found}
    assert decode(SEARCHES[name], random_distribution(1, 6), [(A,)]) == [others]


def test_a_prefix_is_longer_than_max_length_but_not_than_the_model() -> None:
    search, constraints = build_greedy(GreedyConfig(max_length=(0, 1))), [Constraints(prefix=(A, A, A, A))]

    (found,) = decode(search, ENDLESS, [(A,)], constraints, positions=5)
    with pytest.raises(WrongInputError) as caught:
        decode(search, ENDLESS, [(A,)], constraints, positions=4)

    assert (A, A, A, A) == found[0].tokens
    assert "SF686" == caught.value.code
    assert "begin with 4 symbols, and the model has room for 4, the end counted" in str(caught.value)


def test_a_prefix_may_fill_the_model_with_its_own_end() -> None:
    (found,) = decode(build_greedy(GreedyConfig()), ENDLESS, [(A,)], [Constraints(prefix=(A, A, A, EOS))], positions=4)

    assert [(A, A, A)] == [each.tokens for each in found]


@pytest.mark.parametrize("name", SEARCHES)
def test_phrases_are_refused_by_searches_that_cannot_keep_them(name: str) -> None:
    with pytest.raises(WrongInputError) as caught:
        decode(SEARCHES[name], ENDLESS, [(A,)], [Constraints(phrases=((A, B),))])

    assert "SF686" == caught.value.code
    assert f"`{name}` search" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"min_length": -1}',
        '{"min_length": [-1.0, 2]}',
        '{"min_length": "1"}',
        '{"max_length": [0, 5], "min_length": [0, 6]}',
        '{"no_repeat_ngram": -1}',
        '{"unkpen": NaN}',
        '{"match_source_length": 1}',
    ],
)
def test_wrong_options_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        GreedyConfig.model_validate_json(text)


def test_a_bound_that_is_not_looked_at_is_odd() -> None:
    (oddity,) = GreedyConfig(match_source_length=True, max_length=(2.0, 5)).oddities()

    assert ("max_length", "SF414") == (oddity.key, oddity.code)
    assert () == GreedyConfig(match_source_length=True).oddities()
