"""The cases that users of fairseq know, two sentences in one batch, with tokens and scores worked out by hand.

What the model says; where it says nothing the end is sure:

    sentence c                              sentence d d
    start   a 0.8    b 0.2                  start   a 0.6    b 0.4
    a       end 0.5  a 0.45   b 0.05        a       end 0.2  a 0.5   b 0.3
    b       end 0.9  a 0.1                  b       end 0.1  b 0.9
    a a     end 0.9  b 0.1                  a a     end 0.6  a 0.4
                                            b b     end 0.8  a 0.2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import Final

import pytest
from prefix_model import Prefix, PrefixModel, batch_of

from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build as build_beam
from specforge.searches.diverse_beam.config import DiverseBeamConfig
from specforge.searches.diverse_beam.search import build as build_diverse
from specforge.searches.sampling.config import SamplingConfig
from specforge.searches.sampling.search import build as build_sampling
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Hypothesis, Search

EOS, A, B, C, D = 2, 4, 5, 6, 7
SYMBOLS = Symbols(size=8)

Table = Mapping[Prefix, Mapping[int, float]]

FIRST: Final[Table] = {
    (): {A: 0.8, B: 0.2},
    (A,): {EOS: 0.5, A: 0.45, B: 0.05},
    (B,): {EOS: 0.9, A: 0.1},
    (A, A): {EOS: 0.9, B: 0.1},
}
SECOND: Final[Table] = {
    (): {A: 0.6, B: 0.4},
    (A,): {EOS: 0.2, A: 0.5, B: 0.3},
    (B,): {EOS: 0.1, B: 0.9},
    (A, A): {EOS: 0.6, A: 0.4},
    (B, B): {EOS: 0.8, A: 0.2},
}


def distribution(source: Prefix, prefix: Prefix) -> Sequence[float]:
    table = FIRST if source == (C,) else SECOND
    return [table.get(prefix, {EOS: 1.0}).get(symbol, 0.0) for symbol in range(SYMBOLS.size)]


def decode(search: Search) -> list[list[Hypothesis]]:
    return search.search(ModelScorer(PrefixModel(distribution)), batch_of([(C,), (D, D)], SYMBOLS), SYMBOLS)


def beam(**options: object) -> list[list[Hypothesis]]:
    return decode(build_beam(BeamConfig.model_validate({"beam": 2, **options})))


def check(hypothesis: Hypothesis, tokens: Prefix, chances: Sequence[float], score: float) -> None:
    assert tokens == hypothesis.tokens
    assert [log(chance) for chance in chances] == pytest.approx(hypothesis.token_scores)
    assert score == pytest.approx(hypothesis.score)


# Beam 2, first sentence. Step 0: a 0.8, b 0.2. Step 1: `a end` 0.40, a a 0.36, `b end` 0.18, a b 0.04; the first ends, and
# a a and a b go on. Step 2: `a a end` 0.324 ends, that makes two.
# Second sentence. Step 0: a 0.6, b 0.4. Step 1: b b 0.36, a a 0.30, a b 0.18, `a end` 0.12; the last ends too far behind.
# Step 2: `b b end` 0.288, `a a end` 0.18, that makes two.


def test_normalised() -> None:
    (first, second) = beam()

    check(first[0], (A, A), [0.8, 0.45, 0.9], log(0.324) / 3)
    check(first[1], (A,), [0.8, 0.5], log(0.4) / 2)
    check(second[0], (B, B), [0.4, 0.9, 0.8], log(0.288) / 3)
    check(second[1], (A, A), [0.6, 0.5, 0.6], log(0.18) / 3)


def test_without_normalisation() -> None:
    (first, second) = beam(normalize=False)

    check(first[0], (A,), [0.8, 0.5], log(0.4))  # the order of the first sentence turns around
    check(first[1], (A, A), [0.8, 0.45, 0.9], log(0.324))
    check(second[0], (B, B), [0.4, 0.9, 0.8], log(0.288))
    check(second[1], (A, A), [0.6, 0.5, 0.6], log(0.18))


def test_a_length_penalty_that_favours_short_hypotheses() -> None:
    (first, second) = beam(lenpen=0.2)

    check(first[0], (A,), [0.8, 0.5], log(0.4) / 2**0.2)
    check(first[1], (A, A), [0.8, 0.45, 0.9], log(0.324) / 3**0.2)
    check(second[0], (B, B), [0.4, 0.9, 0.8], log(0.288) / 3**0.2)


def test_a_length_penalty_that_favours_long_hypotheses() -> None:
    (first, second) = beam(lenpen=5.0)

    check(first[0], (A, A), [0.8, 0.45, 0.9], log(0.324) / 3**5)
    check(first[1], (A,), [0.8, 0.5], log(0.4) / 2**5)
    check(second[0], (B, B), [0.4, 0.9, 0.8], log(0.288) / 3**5)


def test_the_greatest_length() -> None:
    (first, second) = beam(max_length=(0, 1))  # after one symbol only the end is allowed

    check(first[0], (A,), [0.8, 0.5], log(0.4) / 2)
    check(first[1], (B,), [0.2, 0.9], log(0.18) / 2)
    check(second[0], (A,), [0.6, 0.2], log(0.12) / 2)
    check(second[1], (B,), [0.4, 0.1], log(0.04) / 2)


def test_no_repeated_symbol() -> None:
    # Without a a and b b, step 1 of the first sentence ends twice among two: 0.40 and 0.18. In the second it is a b 0.18,
    # `a end` 0.12, `b end` 0.04: one ends, a b goes on and its end is sure.
    (first, second) = beam(no_repeat_ngram=1)

    check(first[0], (A,), [0.8, 0.5], log(0.4) / 2)
    check(first[1], (B,), [0.2, 0.9], log(0.18) / 2)
    check(second[0], (A, B), [0.6, 0.3, 1.0], log(0.18) / 3)
    check(second[1], (A,), [0.6, 0.2], log(0.12) / 2)


def test_diverse_groups() -> None:
    # First sentence, group 1: a, then the end (0.5 against 0.45). Group 2 pays 0.7 for a and says it (log 0.8 - 0.7 is more
    # than log 0.2), will not pay for the end (log 0.45 is more than log 0.5 - 0.7), and ends alone, which costs nothing.
    # Second sentence, group 1: a, a, end. Group 2: b (log 0.4 is more than log 0.6 - 0.7), b, and an end that costs 0.7.
    (first, second) = decode(build_diverse(DiverseBeamConfig(beam=2, groups=2, strength=0.7)))

    check(first[0], (A,), [0.8, 0.5], log(0.4) / 2)
    check(first[1], (A, A), [0.8, 0.45, 0.9], (log(0.324) - 0.7) / 3)
    check(second[0], (A, A), [0.6, 0.5, 0.6], log(0.18) / 3)
    check(second[1], (B, B), [0.4, 0.9, 0.8], (log(0.288) - 0.7) / 3)


def test_siblings_pay_for_their_rank() -> None:
    # The second choice of a prefix costs 0.5, the third 1. Second sentence, step 0: a and b (0.5). Step 1: a a log 0.30,
    # b b log 0.36 - 0.5, a b log 0.18 - 0.5, `a end` log 0.12 - 1. Step 2: `a a end` log 0.18, `b b end` log 0.288 - 0.5.
    (_, second) = beam(sibling_penalty=0.5)

    check(second[0], (A, A), [0.6, 0.5, 0.6], log(0.18) / 3)
    check(second[1], (B, B), [0.4, 0.9, 0.8], (log(0.288) - 0.5) / 3)


@pytest.mark.parametrize("seed", range(3))
def test_a_small_top_p_leaves_the_best_symbol_alone(seed: int) -> None:
    ((first,), (second,)) = decode(build_sampling(SamplingConfig(top_p=0.45, seed=seed)))

    check(first, (A,), [0.8, 0.5], log(0.4) / 2)
    check(second, (A, A), [0.6, 0.5, 0.6], log(0.18) / 3)


def test_a_larger_top_p_leaves_the_smallest_set_that_reaches_it() -> None:
    (first, second) = decode(build_sampling(SamplingConfig(top_p=0.85, samples=300)))

    # after a the end and a have 0.95 together, so b is out; after b the end has 0.9 alone
    assert {(A,), (A, A), (B,)} == {hypothesis.tokens for hypothesis in first}
    # after a all three are needed, a and b have but 0.8; after b the end is not
    assert {(A,), (A, B), (A, A)} <= {hypothesis.tokens for hypothesis in second}
    assert not any(hypothesis.tokens == (B,) for hypothesis in second)
