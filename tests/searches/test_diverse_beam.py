"""Diverse beam search: by hand, and against a slow search over lists."""

from __future__ import annotations

from math import inf, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefix_model import Distribution, Prefix, PrefixModel, batch_of, from_table, random_distribution
from pydantic import ValidationError
from slow_beam import Ended, final_score, values

from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build as build_beam
from specforge.searches.diverse_beam.config import DiverseBeamConfig
from specforge.searches.diverse_beam.search import build
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Hypothesis

EOS, A, B = 2, 4, 5
SYMBOLS = Symbols(size=6)

TABLE = {(): {A: 0.7, B: 0.3}, (A,): {A: 0.6, B: 0.4}, (B,): {A: 0.6, B: 0.4}}


def search(config: DiverseBeamConfig, distribution: Distribution, *sources: Prefix) -> list[list[Hypothesis]]:
    model = PrefixModel(distribution)
    return build(config).search(ModelScorer(model), batch_of(sources, SYMBOLS), SYMBOLS)


def test_groups_that_do_not_care_find_the_same() -> None:
    config = DiverseBeamConfig(beam=2, groups=2, strength=0.0)

    ((first, second),) = search(config, from_table(TABLE, 6), (A,))

    assert (A, A) == first.tokens == second.tokens
    assert log(0.7 * 0.6) / 3 == pytest.approx(first.score) == pytest.approx(second.score)


def test_a_group_keeps_away_from_what_those_before_it_say() -> None:
    # Group 1 says a (0.7), a (0.6), end. Group 2 pays 1 for each: b (log 0.3) beats a (log 0.7 - 1), then b (log 0.4)
    # beats a (log 0.6 - 1), then the end is sure and costs 1.
    config = DiverseBeamConfig(beam=2, groups=2, strength=1.0)

    ((first, second),) = search(config, from_table(TABLE, 6), (A,))

    assert ((A, A), (B, B)) == (first.tokens, second.tokens)
    assert log(0.7 * 0.6) / 3 == pytest.approx(first.score)
    assert (log(0.3 * 0.4) - 1.0) / 3 == pytest.approx(second.score)
    assert [log(0.3), log(0.4), 0.0] == pytest.approx(second.token_scores)  # what the model says, without the costs


def test_half_the_cost_is_not_enough_for_the_second_symbol() -> None:
    # log 0.7 - 0.875 < log 0.3, but log 0.6 - 0.875 < log 0.4 too; with 0.45 group 2 says a twice and pays twice
    config = DiverseBeamConfig(beam=2, groups=2, strength=0.4)

    ((_, second),) = search(config, from_table(TABLE, 6), (A,))

    assert (A, A) == second.tokens
    assert (log(0.7 * 0.6) - 3 * 0.4) / 3 == pytest.approx(second.score)


def slow_diverse(distribution: Distribution, source: Prefix, config: DiverseBeamConfig, longest: int) -> list[Ended]:
    width = config.beam // config.groups
    prefixes: list[list[tuple[Prefix, float]]] = [[((), 0.0)] for _ in range(config.groups)]
    finished: list[list[Ended]] = [[] for _ in range(config.groups)]
    for _ in range(longest + 1):
        said: dict[int, float] = {}
        for group in range(config.groups):
            if len(finished[group]) == width:
                continue
            continuations = [
                (prefix, symbol, total + value - said.get(symbol, 0.0))
                for prefix, total in prefixes[group]
                for symbol, value in values(distribution, source, prefix, config, longest).items()
                if value > -inf
            ]
            candidates = sorted(continuations, key=lambda each: -each[2])[: 2 * width]
            for prefix, symbol, total in candidates[:width]:
                said[symbol] = said.get(symbol, 0.0) + config.strength
                if symbol == EOS and len(finished[group]) < width:
                    finished[group].append(Ended(prefix, final_score(total, prefix, source, config)))
            going_on = [((*prefix, symbol), total) for prefix, symbol, total in candidates if symbol != EOS]
            prefixes[group] = going_on[:width]
    return sorted((each for group in finished for each in group), key=lambda each: -each.score)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**30),
    width=st.integers(1, 3),
    groups=st.integers(1, 3),
    strength=st.sampled_from([0.3, 1.1]),
    lenpen=st.sampled_from([0.0, 1.0, 2.0]),
    sources=st.lists(st.lists(st.integers(3, 5), max_size=4).map(tuple), min_size=1, max_size=4),
)
def test_a_batch_gives_each_sentence_what_a_slow_search_of_it_alone_gives(
    seed: int, width: int, groups: int, strength: float, lenpen: float, sources: list[Prefix]
) -> None:
    distribution = random_distribution(seed, SYMBOLS.size)
    config = DiverseBeamConfig(
        beam=width * groups, groups=groups, strength=strength, lenpen=lenpen, max_length=(1.0, 2), min_length=0
    )

    found = search(config, distribution, *sources)

    for source, hypotheses in zip(sources, found, strict=True):
        expected = slow_diverse(distribution, source, config, longest=len(source) + 3)
        assert [each.score for each in expected] == pytest.approx([hypothesis.score for hypothesis in hypotheses])
        assert sorted(each.tokens for each in expected) == sorted(hypothesis.tokens for hypothesis in hypotheses)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**30))
def test_one_group_is_beam_search(seed: int) -> None:
    scorer = ModelScorer(PrefixModel(random_distribution(seed, 6)))
    batch = batch_of([(A, B), (), (A,)], SYMBOLS)
    beam = BeamConfig(beam=3, max_length=(1.0, 2))

    expected = build_beam(beam).search(scorer, batch, SYMBOLS)
    found = build(DiverseBeamConfig(beam=3, groups=1, max_length=(1.0, 2))).search(scorer, batch, SYMBOLS)

    assert expected == found


def test_a_penalty_leaves_scores_that_are_numbers() -> None:
    with pytest.raises(ValidationError, match="less than or equal to"):
        DiverseBeamConfig(strength=1e308)


def test_groups_must_be_equal() -> None:
    with pytest.raises(ValidationError, match="`beam` must be a multiple of `groups`") as caught:
        DiverseBeamConfig(beam=5, groups=2)

    (error,) = caught.value.errors()
    assert {"beam", "groups"} == set(error["ctx"]["labels"])
    assert "write `beam = 4`" == error["ctx"]["help"]


@pytest.mark.parametrize(("values_", "key"), [({"groups": 1}, "groups"), ({"strength": 0.0}, "strength")])
def test_groups_that_cannot_differ_are_odd(values_: dict[str, object], key: str) -> None:
    (oddity,) = DiverseBeamConfig.model_validate(values_).oddities()

    assert (key, "SF414") == (oddity.key, oddity.code)
    assert () == DiverseBeamConfig().oddities()
