"""Beam search against numbers worked out by hand, an exhaustive search, and a slow search of one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import exp, log
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefix_model import (
    Attention,
    Distribution,
    Prefix,
    PrefixModel,
    batch_of,
    from_table,
    random_attention,
    random_distribution,
)
from pydantic import ValidationError
from slow_beam import chance, final_score, slow_beam

from specforge.foundation.errors import StepFailedError
from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Hypothesis, Sources

PAD, EOS, UNK, A, B = 1, 2, 3, 4, 5
SYMBOLS = Symbols(size=6)

#          a 0.5          then end 0.4, b 0.6;    after a b the end 0.5
#   start  b 0.4          then end 0.9, a 0.1;    after b a the end 1.0
#          end 0.1
TABLE = {
    (): {A: 0.5, B: 0.4, EOS: 0.1},
    (A,): {EOS: 0.4, B: 0.6},
    (B,): {EOS: 0.9, A: 0.1},
    (A, B): {EOS: 0.5, A: 0.5},
    (B, A): {EOS: 1.0},
}


def search(
    config: BeamConfig,
    distribution: Distribution,
    sources: Sequence[Prefix] = ((A,),),
    positions: int | None = None,
    attention: Attention | None = None,
) -> list[list[Hypothesis]]:
    model = PrefixModel(distribution, positions, attention)
    return build(config).search(ModelScorer(model), batch_of(sources, SYMBOLS), SYMBOLS)


def test_scores_by_hand() -> None:
    # Step 1: `b end` 0.36, `a b` 0.30, `a end` 0.20, `b a` 0.04. The first ends; `a end` is not among the first two, so
    # it is lost; `a b` and `b a` go on. Step 2 must end: `a b end` 0.15 is the second hypothesis, and that is enough.
    ((first, second),) = search(BeamConfig(beam=2, max_length=(0, 2)), from_table(TABLE, 6))

    assert (B,) == first.tokens
    assert log(0.36) / 2 == pytest.approx(first.score)
    assert [log(0.4), log(0.9)] == pytest.approx(first.token_scores)
    assert (A, B) == second.tokens
    assert log(0.15) / 3 == pytest.approx(second.score)
    assert [log(0.5), log(0.6), log(0.5)] == pytest.approx(second.token_scores)


@pytest.mark.parametrize(
    ("lenpen", "normalize", "best", "score"),
    [
        (1.0, True, (B,), log(0.36) / 2),
        (2.0, True, (A, B), log(0.15) / 9),
        (0.0, True, (B,), log(0.36)),
        (2.0, False, (B,), log(0.36)),
    ],
)
def test_the_length_penalty_works_both_ways(
    lenpen: float,
    normalize: bool,  # noqa: FBT001  # a value of the table above
    best: Prefix,
    score: float,
) -> None:
    config = BeamConfig(beam=2, max_length=(0, 2), lenpen=lenpen, normalize=normalize)

    ((first, _),) = search(config, from_table(TABLE, 6))

    assert best == first.tokens
    assert score == pytest.approx(first.score)


def test_an_empty_output_needs_min_length_0() -> None:
    # `end` 0.1 is third of three at the start, so beam 3 finds it, and it has no other chance
    config = BeamConfig(beam=3, max_length=(0, 2), min_length=0, normalize=False)

    (found,) = search(config, from_table(TABLE, 6))

    assert {(): 0.1, (B,): 0.36, (A,): 0.2} == {
        hypothesis.tokens: pytest.approx(2.718281828459045**hypothesis.score) for hypothesis in found
    }


def test_the_longest_output_depends_on_the_sentence_alone() -> None:
    endless = from_table({(A,) * length: {A: 0.999, EOS: 0.001} for length in range(20)}, 6)
    sources = [(A,) * 1, (A,) * 5, (A,) * 2]
    config = BeamConfig(beam=1, max_length=(1.5, 1))

    found = search(config, endless, sources)

    # 1.5 x (length with its end) + 1, rounded down
    assert [4, 10, 5] == [len(best[0].tokens) for best in found]


def test_no_output_is_longer_than_the_models_positions() -> None:
    endless = from_table({(A,) * length: {A: 0.999, EOS: 0.001} for length in range(20)}, 6)

    found = search(BeamConfig(beam=1), endless, positions=7)

    assert 6 == len(found[0][0].tokens)  # and its end


def test_padding_is_never_produced() -> None:
    table = {(): {PAD: 0.9, A: 0.06, B: 0.04}, (A,): {PAD: 0.9, EOS: 0.1}, (B,): {PAD: 0.8, EOS: 0.2}}

    (found,) = search(BeamConfig(beam=4, max_length=(0, 1), normalize=False), from_table(table, 6))

    assert [(B,), (A,)] == [hypothesis.tokens for hypothesis in found]
    assert [log(0.008), log(0.006)] == pytest.approx([hypothesis.score for hypothesis in found])


def test_the_unknown_symbol_can_be_made_dear_and_its_probability_stays_true() -> None:
    table = {(): {UNK: 0.6, A: 0.4}, (UNK,): {EOS: 1.0}, (A,): {EOS: 1.0}}
    config = BeamConfig(beam=2, max_length=(0, 1), normalize=False)

    ((unknown, known),) = search(config, from_table(table, 6))
    ((dear_known, dear_unknown),) = search(config.model_copy(update={"unkpen": 1.0}), from_table(table, 6))

    assert ((UNK,), (A,)) == (unknown.tokens, known.tokens)
    assert ((A,), (UNK,)) == (dear_known.tokens, dear_unknown.tokens)
    assert log(0.6) - 1.0 == pytest.approx(dear_unknown.score)
    assert [log(0.6), 0.0] == pytest.approx(dear_unknown.token_scores)


def test_scores_that_are_not_numbers_end_the_search() -> None:
    with pytest.raises(StepFailedError) as caught:
        search(BeamConfig(beam=2), lambda _source, _prefix: [float("nan")] * 6)

    assert "SF633" == caught.value.code


def test_scores_that_stop_being_numbers_do_not_hide_behind_a_finished_hypothesis() -> None:
    def distribution(_source: Prefix, prefix: Prefix) -> list[float]:
        return [float("nan")] * 6 if prefix else [0.0, 0.0, 0.5, 0.0, 0.5, 0.0]

    with pytest.raises(StepFailedError):
        search(BeamConfig(beam=2, min_length=0), distribution)


def test_a_model_that_makes_every_output_impossible_is_no_empty_list() -> None:
    with pytest.raises(StepFailedError) as caught:
        search(BeamConfig(beam=2), from_table({(): {PAD: 1.0}}, 6))

    assert "SF633" == caught.value.code


def test_rows_stay_where_they_are_while_every_prefix_continues_itself() -> None:
    # the first row repeats a, the second b: the order never changes until both end at their limit
    table = {(symbol,) * length: {symbol: 0.99, EOS: 0.01} for symbol in (A, B) for length in range(1, 9)}
    model = PrefixModel(from_table({**table, (): {A: 0.6, B: 0.4}}, 6))

    build(BeamConfig(beam=2, max_length=(0, 8))).search(ModelScorer(model), batch_of([(A,)], SYMBOLS), SYMBOLS)

    assert 1 == model.states[0].selected  # after step 0, where both come from the first row


def test_a_finished_sentence_leaves_the_batch() -> None:
    def distribution(source: Prefix, prefix: Prefix) -> list[float]:
        end = 0.9 if len(prefix) >= len(source) else 0.001
        return [0.0, 0.0, end, 0.0, 0.6 * (1 - end), 0.4 * (1 - end)]

    model = PrefixModel(distribution)
    build(BeamConfig(beam=2)).search(ModelScorer(model), batch_of([(A,), (A, A, A)], SYMBOLS), SYMBOLS)

    assert [4, 4, 2, 2] == model.rows  # both prefixes of the first end after one symbol, of the second after three


def outputs(longest: int, size: int) -> list[Prefix]:
    inner = [symbol for symbol in range(size) if symbol not in {PAD, EOS}]
    return [output for length in range(longest + 1) for output in product(inner, repeat=length)]


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**30),
    size=st.integers(5, 6),
    longest=st.integers(1, 3),
    lenpen=st.sampled_from([-0.5, 0.0, 0.6, 1.0, 2.0]),
    penalty=st.sampled_from(["power", "gnmt"]),
    coverage=st.sampled_from([0.0, 0.3]),
    finish=st.sampled_from(["beam", "best"]),
)
def test_a_full_beam_finds_what_an_exhaustive_search_finds(
    seed: int,
    size: int,
    longest: int,
    lenpen: float,
    penalty: Literal["power", "gnmt"],
    coverage: float,
    finish: Literal["beam", "best"],
) -> None:
    distribution, attention = random_distribution(seed, size), random_attention(seed)
    every = outputs(longest, size)
    config = BeamConfig(
        beam=len(every),
        max_length=(0, longest),
        min_length=0,
        lenpen=lenpen,
        lenpen_form=penalty,
        coverage_penalty=coverage,
        finish=finish,
    )
    model = PrefixModel(distribution, attention=attention)

    (found,) = build(config).search(ModelScorer(model), batch_of([(A, B)], SYMBOLS), Symbols(size=size))

    def score(output: Prefix) -> float:
        return final_score(log(chance(distribution, (A, B), output)), output, (A, B), config, attention)

    ranked = sorted(every, key=lambda output: -score(output))
    assert ranked == [hypothesis.tokens for hypothesis in found]
    assert [score(output) for output in ranked] == pytest.approx([hypothesis.score for hypothesis in found])


@settings(deadline=None, max_examples=120)
@given(
    seed=st.integers(0, 2**30),
    beam=st.integers(1, 5),
    min_length=st.sampled_from([0, 1, 3, (0.5, 1)]),
    lenpen=st.sampled_from([-0.5, 0.0, 0.6, 1.0, 2.0]),
    penalty=st.sampled_from(["power", "gnmt"]),
    coverage=st.sampled_from([0.0, 0.0, 0.7]),
    temperature=st.sampled_from([1.0, 0.5, 3.0]),
    unkpen=st.sampled_from([0.0, 1.5, -0.5]),
    ngram=st.integers(0, 2),
    siblings=st.sampled_from([0.0, 0.0, 0.4]),
    sources=st.lists(st.lists(st.integers(3, 5), max_size=4).map(tuple), min_size=1, max_size=5),
)
def test_a_batch_gives_each_sentence_what_a_slow_search_of_it_alone_gives(
    seed: int,
    beam: int,
    min_length: int | tuple[float, int],
    lenpen: float,
    penalty: Literal["power", "gnmt"],
    coverage: float,
    temperature: float,
    unkpen: float,
    ngram: int,
    siblings: float,
    sources: list[Prefix],
) -> None:
    distribution, attention = random_distribution(seed, SYMBOLS.size), random_attention(seed)
    config = BeamConfig(
        beam=beam,
        max_length=(1.0, 2),
        min_length=min_length,
        lenpen=lenpen,
        lenpen_form=penalty,
        coverage_penalty=coverage,
        temperature=temperature,
        unkpen=unkpen,
        no_repeat_ngram=ngram,
        sibling_penalty=siblings,
    )

    found = search(config, distribution, sources, attention=attention)

    for source, hypotheses in zip(sources, found, strict=True):
        expected = slow_beam(distribution, source, config, longest=len(source) + 3, attention=attention)
        assert [each.tokens for each in expected] == [hypothesis.tokens for hypothesis in hypotheses]
        assert [each.score for each in expected] == pytest.approx([hypothesis.score for hypothesis in hypotheses])
        for hypothesis in hypotheses:  # whatever ranks them, this is what the model says
            assert chance(distribution, source, hypothesis.tokens) == pytest.approx(exp(sum(hypothesis.token_scores)))


def test_no_sentences_give_no_hypotheses() -> None:
    one = batch_of([(A,)], SYMBOLS)
    none = Sources(one.tokens[:0], one.lengths[:0])

    assert [] == build(BeamConfig()).search(ModelScorer(PrefixModel(from_table(TABLE, 6))), none, SYMBOLS)


@pytest.mark.parametrize(
    "text",
    [
        '{"beam": 0}',
        '{"beam": "5"}',
        '{"max_length": [0, 0]}',
        '{"max_length": [0, 5], "min_length": 6}',
        '{"max_length": 200}',
        '{"max_length": [1e308, 3]}',
        '{"min_length": [1e308, 1]}',
        '{"lenpen": NaN}',
        '{"lenpen": -1e308}',
        '{"temperature": 1e-320}',
        '{"unkpen": -1e300}',
        '{"coverage_penalty": 1e308}',
        '{"sibling_penalty": 1e308}',
        '{"nbest": 5}',
    ],
)
def test_wrong_options_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        BeamConfig.model_validate_json(text)
