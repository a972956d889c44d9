"""When a sentence is done: by count, or by proof that nothing open can win any more. Proofs change nothing of what they keep."""

from __future__ import annotations

from math import log
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefix_model import Distribution, Prefix, PrefixModel, batch_of, from_table, random_attention, random_distribution
from slow_beam import slow_beam

from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build
from specforge.searches.scorer import ModelScorer

EOS, A, B = 2, 4, 5
SYMBOLS = Symbols(size=6)

LENPENS = st.sampled_from([-0.5, 0.0, 0.6, 1.0, 2.0])
PENALTIES = st.sampled_from(["power", "gnmt"])
SOURCES = st.lists(st.lists(st.integers(3, 5), max_size=4).map(tuple), min_size=1, max_size=4)


def sharp(seed: int) -> Distribution:
    """Return a distribution that is nearly sure of most symbols, so that bounds prove something early."""
    drawn = random_distribution(seed, SYMBOLS.size)

    def distribution(source: Prefix, prefix: Prefix) -> list[float]:
        chances = [chance**3 for chance in drawn(source, prefix)]
        return [chance / sum(chances) for chance in chances]

    return distribution


# A model that is nearly sure: a b a b then the end, and at every step a small chance to end at once.
SURE: dict[Prefix, dict[int, float]] = {
    (): {A: 0.97, EOS: 0.02, B: 0.01},
    (A,): {B: 0.97, EOS: 0.02, A: 0.01},
    (A, B): {A: 0.97, EOS: 0.02, B: 0.01},
    (A, B, A): {B: 0.97, EOS: 0.02, A: 0.01},
    (A, B, A, B): {EOS: 0.97, A: 0.02, B: 0.01},
    **{(A, B, A, B, *more): {EOS: 0.97, A: 0.02, B: 0.01} for more in ((A,), (B,))},
}


def test_poor_hypotheses_that_end_early_do_not_end_the_search() -> None:
    config = BeamConfig(beam=2, max_length=(0, 6))
    scorer, batch = ModelScorer(PrefixModel(from_table(SURE, 6))), batch_of([(A,)], SYMBOLS)

    ((by_count, *_),) = build(config).search(scorer, batch, SYMBOLS)
    ((by_proof, *_),) = build(config.model_copy(update={"finish": "best"})).search(scorer, batch, SYMBOLS)

    assert len(by_count.tokens) < 4
    assert (A, B, A, B) == by_proof.tokens
    assert log(0.97) == pytest.approx(by_proof.score)  # five symbols, each of 0.97


def test_a_proof_ends_the_search_long_before_the_greatest_length() -> None:
    model = PrefixModel(from_table(SURE, 6))
    config = BeamConfig(beam=2, max_length=(0, 200), normalize=False, finish="best", early_stop=True)

    build(config).search(ModelScorer(model), batch_of([(A,)], SYMBOLS), SYMBOLS)

    # After `a b a b end` (0.97 ** 5) no prefix that is open has even a chance of 0.03.
    assert 5 == len(model.rows)


@settings(deadline=None, max_examples=120)
@given(
    seed=st.integers(0, 2**30),
    beam=st.integers(1, 4),
    lenpen=LENPENS,
    penalty=PENALTIES,
    normalize=st.booleans(),
    coverage=st.sampled_from([0.0, 0.0, 0.5]),
    unkpen=st.sampled_from([0.0, 1.0, -0.5]),
    sources=SOURCES,
)
def test_the_best_are_those_of_a_search_to_the_greatest_length(
    seed: int,
    beam: int,
    lenpen: float,
    penalty: Literal["power", "gnmt"],
    normalize: bool,  # noqa: FBT001  # drawn above
    coverage: float,
    unkpen: float,
    sources: list[Prefix],
) -> None:
    distribution, attention = sharp(seed), random_attention(seed)
    config = BeamConfig(
        beam=beam,
        max_length=(1.0, 3),
        min_length=0,
        lenpen=lenpen,
        lenpen_form=penalty,
        normalize=normalize,
        coverage_penalty=coverage,
        unkpen=unkpen,
        finish="best",
    )
    model = PrefixModel(distribution, attention=attention)

    found = build(config).search(ModelScorer(model), batch_of(sources, SYMBOLS), SYMBOLS)

    for source, hypotheses in zip(sources, found, strict=True):
        expected = slow_beam(distribution, source, config, longest=len(source) + 4, attention=attention)
        assert [each.tokens for each in expected] == [hypothesis.tokens for hypothesis in hypotheses]
        assert [each.score for each in expected] == pytest.approx([hypothesis.score for hypothesis in hypotheses])


@settings(deadline=None, max_examples=120)
@given(
    seed=st.integers(0, 2**30),
    beam=st.integers(1, 4),
    lenpen=LENPENS,
    penalty=PENALTIES,
    finish=st.sampled_from(["beam", "best"]),
    unkpen=st.sampled_from([0.0, -0.5]),
    sources=SOURCES,
)
def test_an_early_stop_never_changes_the_best(
    seed: int,
    beam: int,
    lenpen: float,
    penalty: Literal["power", "gnmt"],
    finish: Literal["beam", "best"],
    unkpen: float,
    sources: list[Prefix],
) -> None:
    model = PrefixModel(sharp(seed))
    config = BeamConfig(
        beam=beam,
        max_length=(1.0, 3),
        min_length=0,
        lenpen=lenpen,
        lenpen_form=penalty,
        finish=finish,
        unkpen=unkpen,
    )
    batch = batch_of(sources, SYMBOLS)

    expected = build(config).search(ModelScorer(model), batch, SYMBOLS)
    found = build(config.model_copy(update={"early_stop": True})).search(ModelScorer(model), batch, SYMBOLS)

    assert [each[0] for each in expected] == [each[0] for each in found]
    if finish == "beam":  # what it has besides is what the other search had by then
        for whole, part in zip(expected, found, strict=True):
            assert {hypothesis.tokens for hypothesis in part} <= {hypothesis.tokens for hypothesis in whole}


def test_early_stops_save_steps() -> None:
    without, with_stop = PrefixModel(sharp(3)), PrefixModel(sharp(3))
    config = BeamConfig(beam=4, max_length=(0, 8), normalize=False)
    batch = batch_of([(A,) * length for length in range(5)], SYMBOLS)

    build(config).search(ModelScorer(without), batch, SYMBOLS)
    build(config.model_copy(update={"early_stop": True})).search(ModelScorer(with_stop), batch, SYMBOLS)

    assert sum(with_stop.rows) < sum(without.rows)


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ({"beam": 1, "early_stop": True}, ["early_stop"]),
        ({"early_stop": True, "unkpen": -1.0}, ["early_stop"]),
        ({"finish": "best", "unkpen": -1.0}, ["finish"]),
        ({"normalize": False, "lenpen": 0.6, "lenpen_form": "gnmt"}, ["lenpen", "lenpen_form"]),
        ({"beam": 1, "coverage_penalty": 0.2, "lenpen_form": "gnmt"}, ["lenpen_form", "coverage_penalty"]),
        ({"finish": "best", "early_stop": True, "lenpen_form": "gnmt", "coverage_penalty": 0.2}, []),
    ],
)
def test_options_that_do_nothing_are_odd(values: dict[str, object], keys: list[str]) -> None:
    oddities = BeamConfig.model_validate(values).oddities()

    assert keys == [oddity.key for oddity in oddities]
    assert {"SF414"} >= {oddity.code for oddity in oddities}
