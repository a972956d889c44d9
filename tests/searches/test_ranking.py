"""Penalties by hand (Wu et al. 2016, equation 14), and what no hypothesis can exceed."""

from __future__ import annotations

from math import inf, log

import pytest
import torch
from prefix_model import Prefix, PrefixModel, batch_of, from_table

from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.ranking import Ranking
from specforge.searches.beam.search import build
from specforge.searches.scorer import ModelScorer

EOS, A, B = 2, 4, 5
SYMBOLS = Symbols(size=6)

# `a end` 0.6 x 0.9, `b a end` 0.4 x 1.0 x 0.6
TABLE = {(): {A: 0.6, B: 0.4}, (A,): {EOS: 0.9, B: 0.1}, (B,): {A: 1.0}, (B, A): {EOS: 0.6, B: 0.4}}


def scores(config: BeamConfig, attention: object = None) -> dict[Prefix, float]:
    model = PrefixModel(from_table(TABLE, 6), attention=attention)  # type: ignore[arg-type]  # None or a function
    (found,) = build(config).search(ModelScorer(model), batch_of([(A,)], SYMBOLS), SYMBOLS)
    return {hypothesis.tokens: hypothesis.score for hypothesis in found}


def test_the_length_penalty_of_gnmt() -> None:
    found = scores(BeamConfig(beam=2, max_length=(0, 2), lenpen_form="gnmt", lenpen=0.8))

    # two symbols and three, the end counted
    assert log(0.54) / (7 / 6) ** 0.8 == pytest.approx(found[A,])
    assert log(0.24) / (8 / 6) ** 0.8 == pytest.approx(found[B, A])


def test_the_coverage_penalty_counts_what_nobody_looked_at() -> None:
    def attention(_source: Prefix, prefix: Prefix) -> list[float]:
        return [0.9, 0.1] if prefix[:1] == (A,) else [0.5, 0.5]

    found = scores(BeamConfig(beam=2, max_length=(0, 2), normalize=False, coverage_penalty=0.3), attention)

    # `a`: [0.5, 0.5] for a, [0.9, 0.1] for the end: 1.4 counts as 1. `b a`: 0.5 three times, 1.5 counts as 1.
    assert log(0.54) + 0.3 * (log(1.0) + log(0.6)) == pytest.approx(found[A,])
    assert log(0.24) == pytest.approx(found[B, A])


def test_what_was_never_looked_at_is_dear_and_not_impossible() -> None:
    found = scores(BeamConfig(beam=2, max_length=(0, 2), coverage_penalty=0.3), lambda _source, _prefix: [1.0, 0.0])

    assert all(-inf < score < -20.0 for score in found.values())


@pytest.mark.parametrize("lenpen", [-0.5, 0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("penalty", ["power", "gnmt"])
def test_no_hypothesis_exceeds_the_bound_and_one_can_reach_it(lenpen: float, penalty: str) -> None:
    ranking = Ranking(BeamConfig.model_validate({"lenpen": lenpen, "lenpen_form": penalty}))
    longest, total = 9, torch.tensor([-2.5])

    bound = ranking.bound(total, 3, torch.tensor([longest]))
    reached = [ranking.scores(total, length) for length in range(4, longest + 2)]  # as if all that follows were sure

    assert float(bound) == pytest.approx(max(float(score) for score in reached))


def test_there_is_no_bound_where_a_symbol_can_raise_the_sum() -> None:
    bound = Ranking(BeamConfig(unkpen=-0.1)).bound(torch.tensor([-2.5]), 3, torch.tensor([9]))

    assert inf == float(bound)
