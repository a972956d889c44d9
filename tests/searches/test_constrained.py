"""Lexically constrained search: phrases stand in every output, and the best outputs that hold them are found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import log

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from prefix_model import Distribution, Prefix, PrefixModel, batch_of, from_table, random_distribution
from slow_beam import chance

from specforge.foundation.errors import WrongInputError
from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build as build_beam
from specforge.searches.constrained.config import ConstrainedConfig
from specforge.searches.constrained.phrases import Phrases
from specforge.searches.constrained.search import build
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Constraints, Hypothesis

PAD, EOS, UNK, A, B = 1, 2, 3, 4, 5
SYMBOLS = Symbols(size=6)

PHRASES = st.lists(st.lists(st.integers(3, 5), min_size=1, max_size=3).map(tuple), max_size=3)


def search(
    config: ConstrainedConfig,
    distribution: Distribution,
    sources: Sequence[Prefix],
    constraints: Sequence[Constraints],
    positions: int | None = None,
) -> list[list[Hypothesis]]:
    model = PrefixModel(distribution, positions)
    return build(config).search(ModelScorer(model), batch_of(sources, SYMBOLS, constraints), SYMBOLS)


def holds(output: Prefix, phrases: Sequence[Prefix]) -> bool:
    return all(any(output[at : at + len(phrase)] == phrase for at in range(len(output))) for phrase in phrases)


def holds_in_order(output: Prefix, phrases: Sequence[Prefix]) -> bool:
    place = 0
    for phrase in phrases:
        ends = [at + len(phrase) for at in range(place, len(output)) if output[at : at + len(phrase)] == phrase]
        if not ends:
            return False
        place = ends[0]
    return True


def test_what_is_asked_for_is_said_where_it_costs_least() -> None:
    # b is poor at the start (0.1) and fair after a (0.4)
    table = {
        (): {A: 0.8, B: 0.1, EOS: 0.1},
        (A,): {EOS: 0.6, B: 0.4},
        (B,): {EOS: 0.5, A: 0.5},
        (A, B): {EOS: 0.9, A: 0.1},
        (B, A): {EOS: 0.9, B: 0.1},
    }
    config = ConstrainedConfig(beam=2, max_length=(0, 2), normalize=False)

    ((first, second),) = search(config, from_table(table, 6), [(A,)], [Constraints(phrases=((B,),))])

    assert (A, B) == first.tokens
    assert log(0.8 * 0.4 * 0.9) == pytest.approx(first.score)
    assert [log(0.8), log(0.4), log(0.9)] == pytest.approx(first.token_scores)
    assert (B,) == second.tokens
    assert log(0.1 * 0.5) == pytest.approx(second.score)


def test_a_prefix_that_holds_everything_is_not_crowded_out() -> None:
    # After a (0.5) and the unknown symbol (0.4) the six best continuations say nothing of b, 0.128 at least; `b end` is 0.06.
    even = {0: 0.34, A: 0.33, UNK: 0.32, B: 0.01}
    table = {(): {A: 0.5, UNK: 0.4, B: 0.1}, (A,): even, (UNK,): even, (B,): {EOS: 0.6, A: 0.4}}
    config = ConstrainedConfig(beam=3, max_length=(0, 3), normalize=False)

    ((first, *_),) = search(config, from_table(table, 6), [(A,)], [Constraints(phrases=((B,),))])

    assert (B,) == first.tokens
    assert log(0.1 * 0.6) == pytest.approx(first.score)


@settings(deadline=None, max_examples=150)
@given(
    phrases=PHRASES,
    outputs=st.lists(st.lists(st.integers(3, 5), max_size=9).map(tuple), min_size=1, max_size=8),
    ordered=st.booleans(),
)
def test_the_automaton_accepts_exactly_what_holds_the_phrases(
    phrases: list[Prefix],
    outputs: list[Prefix],
    ordered: bool,  # noqa: FBT001  # drawn above
) -> None:
    automaton = Phrases(phrases, ordered=ordered)

    for output in [*outputs, sum(phrases, ())]:
        state = automaton.start
        for symbol in output:
            state = automaton.after(state, symbol)
        assert (holds_in_order if ordered else holds)(output, phrases) == (automaton.missing(state) == 0)


@settings(deadline=None, max_examples=100)
@given(phrases=PHRASES, begun=st.lists(st.integers(3, 5), max_size=5), ordered=st.booleans())
def test_so_many_symbols_suffice_from_everywhere(
    phrases: list[Prefix],
    begun: list[int],
    ordered: bool,  # noqa: FBT001  # drawn above
) -> None:
    automaton = Phrases(phrases, ordered=ordered)
    state = automaton.start
    for symbol in begun:
        state = automaton.after(state, symbol)
    missing = automaton.missing(state)

    steps = 0
    while automaton.missing(state):
        state = min(automaton.standing(state).wanted.values(), key=automaton.missing)
        steps += 1

    assert steps <= missing


@settings(deadline=None, max_examples=120)
@given(
    seed=st.integers(0, 2**30),
    beam=st.integers(1, 5),
    ngram=st.sampled_from([0, 0, 1, 2]),
    ordered=st.booleans(),
    finish=st.sampled_from(["beam", "best"]),
    constraints=st.lists(
        st.builds(Constraints, st.lists(st.integers(3, 5), max_size=2).map(tuple), PHRASES.map(tuple)),
        min_size=1,
        max_size=4,
    ),
    room=st.integers(0, 3),
)
def test_every_output_holds_every_phrase_however_little_room_there_is(
    seed: int,
    beam: int,
    ngram: int,
    ordered: bool,  # noqa: FBT001  # drawn above
    finish: str,
    constraints: list[Constraints],
    room: int,
) -> None:
    needed = max(len(each.prefix) + sum(map(len, each.phrases)) for each in constraints)
    config = ConstrainedConfig.model_validate(
        {"beam": beam, "ordered": ordered, "max_length": (0.0, needed + room), "min_length": 0, "finish": finish}
        | {"no_repeat_ngram": ngram}
    )

    sources = [(A,) * (number % 3) for number, _ in enumerate(constraints)]
    found = search(config, random_distribution(seed, 6), sources, constraints)

    for each, hypotheses in zip(constraints, found, strict=True):
        for hypothesis in hypotheses:
            assert (holds_in_order if ordered else holds)(hypothesis.tokens, each.phrases)
            assert each.prefix == hypothesis.tokens[: len(each.prefix)]
            assert needed + room >= len(hypothesis.tokens)
        assert len(hypotheses) == len({hypothesis.tokens for hypothesis in hypotheses})


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**30),
    phrases=st.sampled_from([((B,),), ((A, B),), ((A, A),), ((A,), (B, UNK)), ((UNK,), (B,)), ()]),
    ordered=st.booleans(),
)
def test_a_full_beam_finds_all_outputs_that_hold_the_phrases(
    seed: int,
    phrases: tuple[Prefix, ...],
    ordered: bool,  # noqa: FBT001  # drawn above
) -> None:
    distribution = random_distribution(seed, 6)
    every = [output for length in range(4) for output in product((0, UNK, A, B), repeat=length)]
    config = ConstrainedConfig(beam=len(every), max_length=(0, 3), min_length=0, ordered=ordered)

    (found,) = search(config, distribution, [(A, B)], [Constraints(phrases=phrases)])

    wanted = [output for output in every if (holds_in_order if ordered else holds)(output, phrases)]
    ranked = sorted(wanted, key=lambda each: -log(chance(distribution, (A, B), each)) / -(len(each) + 1), reverse=True)
    assert ranked == [hypothesis.tokens for hypothesis in found]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**30), beam=st.integers(1, 4), finish=st.sampled_from(["beam", "best"]))
def test_without_phrases_it_is_beam_search(seed: int, beam: int, finish: str) -> None:
    scorer = ModelScorer(PrefixModel(random_distribution(seed, 6)))
    options = {"beam": beam, "finish": finish, "max_length": (1.0, 2), "no_repeat_ngram": 2}
    constraints = [Constraints(), Constraints(prefix=(A,)), Constraints()]
    batch = batch_of([(A, B), (), (A,)], SYMBOLS, constraints)

    expected = build_beam(BeamConfig.model_validate(options)).search(scorer, batch, SYMBOLS)

    assert expected == build(ConstrainedConfig.model_validate(options)).search(scorer, batch, SYMBOLS)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**30), phrases=PHRASES.map(tuple))
@example(seed=0, phrases=((A, B), (B, A)))
def test_a_demanding_neighbour_changes_nothing(seed: int, phrases: tuple[Prefix, ...]) -> None:
    distribution = random_distribution(seed, 6)
    config = ConstrainedConfig(beam=3, max_length=(1.0, 9))
    constraints = [Constraints(), Constraints(phrases=phrases), Constraints(phrases=((UNK,),))]
    sources = [(A, B), (B,), (A,)]
    assume(phrases)

    together = search(config, distribution, sources, constraints)

    for source, each, expected in zip(sources, constraints, together, strict=True):
        assert [expected] == search(config, distribution, [source], [each])


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (
            Constraints(phrases=((A, B), (B, A, A))),
            "need room for 5 symbols, one after the other, and there is room for 4",
        ),
        (
            Constraints((A,), ((A, B), (B, A, A))),
            "need room for 4 symbols, .* room for 3 after the 1 that it begins with",
        ),
        (Constraints((A, EOS, B), ((B,),)), "need room for 1 symbol, .* room for 0 after the 1 that it begins with"),
        (Constraints(phrases=((A, EOS),)), "a phrase holds the end of sentence"),
    ],
)
def test_what_cannot_be_kept_is_refused(constraints: Constraints, message: str) -> None:
    with pytest.raises(WrongInputError, match=message) as caught:
        search(ConstrainedConfig(max_length=(0, 4)), random_distribution(0, 6), [(A,)], [constraints])

    assert "SF686" == caught.value.code


def test_a_phrase_inside_of_another_needs_no_room_of_its_own() -> None:
    constraints = [Constraints(phrases=((A, B), (B,), (A, B), (A, B, A)))]

    (found,) = search(ConstrainedConfig(max_length=(0, 3)), random_distribution(0, 6), [(A,)], constraints)

    assert [(A, B, A)] == [hypothesis.tokens for hypothesis in found]
