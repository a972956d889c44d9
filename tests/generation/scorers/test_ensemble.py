"""Ensembles: probabilities by hand, what searches ask of them, and that neighbours change nothing."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prefix_model import PrefixModel, PrefixState, batch_of, from_table, random_distribution
from torch import Tensor

from specforge.generation.scorers.combined_state import CombinedState
from specforge.generation.scorers.ensemble import EnsembleScorer
from specforge.models.model import DecodingState, EncoderDecoder
from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build as build_beam
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.greedy.search import build as build_greedy
from specforge.searches.scorer import ModelScorer

EOS, A, B = 2, 4, 5
SYMBOLS = Symbols(size=6)


def ensemble(*models: EncoderDecoder) -> EnsembleScorer:
    return EnsembleScorer([ModelScorer(model) for model in models])


def test_the_probability_of_a_symbol_is_the_mean_of_the_models() -> None:
    sure = PrefixModel(from_table({(): {A: 0.9, B: 0.1}}, SYMBOLS.size))
    unsure = PrefixModel(from_table({(): {A: 0.2, B: 0.5, EOS: 0.3}}, SYMBOLS.size))
    scorer = ensemble(sure, unsure)
    state = scorer.start(torch.tensor([[A, EOS]]), torch.tensor([2]), 1)

    (found,) = scorer.step(torch.tensor([EOS]), state).exp().tolist()

    assert [0.0, 0.0, 0.15, 0.0, 0.55, 0.3] == pytest.approx(found)


def test_what_one_model_rules_out_another_can_still_want() -> None:
    first = PrefixModel(from_table({(): {A: 1.0}}, SYMBOLS.size))
    second = PrefixModel(from_table({(): {B: 1.0}, (B,): {A: 0.4, EOS: 0.6}}, SYMBOLS.size))

    ((best, *_),) = build_beam(BeamConfig(beam=2, normalize=False)).search(
        ensemble(first, second), batch_of([(A,)], SYMBOLS), SYMBOLS
    )

    # A: 1/2, then the end: both are sure of it. B: 1/2, then the end: (1 + 0.6) / 2
    assert (A,) == best.tokens
    assert log(0.5) == pytest.approx(best.score)
    assert (log(0.5), 0.0) == pytest.approx(best.token_scores)


def test_beam_search_over_an_ensemble_by_hand() -> None:
    first = PrefixModel(from_table({(): {A: 0.6, B: 0.4}, (A,): {EOS: 0.5, B: 0.5}}, SYMBOLS.size))
    second = PrefixModel(from_table({(): {A: 0.2, B: 0.8}, (B,): {EOS: 0.7, A: 0.3}}, SYMBOLS.size))

    (found,) = build_beam(BeamConfig(beam=2, normalize=False)).search(
        ensemble(first, second), batch_of([(A,)], SYMBOLS), SYMBOLS
    )

    # A 0.4, B 0.6; A ends with (0.5 + 1) / 2 = 0.75, B with (1 + 0.7) / 2 = 0.85
    assert [(B,), (A,)] == [one.tokens for one in found]
    assert [0.6 * 0.85, 0.4 * 0.75] == pytest.approx([exp(one.score) for one in found])


@pytest.mark.parametrize("beam", [1, 3])
def test_twice_the_same_model_is_that_model(beam: int) -> None:
    distribution = random_distribution(3, SYMBOLS.size)
    sources = batch_of([(A,), (B, A, A), (A, B)], SYMBOLS)
    search = build_beam(BeamConfig(beam=beam, max_length=(0.0, 6)))

    alone = search.search(ModelScorer(PrefixModel(distribution)), sources, SYMBOLS)
    together = search.search(ensemble(PrefixModel(distribution), PrefixModel(distribution)), sources, SYMBOLS)

    assert [[one.tokens for one in best] for best in alone] == [[one.tokens for one in best] for best in together]
    for one, other in zip(alone, together, strict=True):
        assert [each.score for each in one] == pytest.approx([each.score for each in other], abs=1e-6)


SENTENCES: list[tuple[int, ...]] = [(A,), (B, A, A), (A, B), (B,), (A, A, B, B, A)]
SEARCHES = {
    "beam": build_beam(BeamConfig(beam=3, max_length=(0.5, 5))),
    "greedy": build_greedy(GreedyConfig(max_length=(0.5, 5))),
}


@pytest.mark.parametrize("name", SEARCHES)
@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(len(SENTENCES))), size=st.integers(1, len(SENTENCES)), seed=st.integers(0, 20))
def test_neighbours_change_nothing(name: str, order: list[int], size: int, seed: int) -> None:
    def search(numbers: list[int]) -> list[tuple[tuple[int, ...], float]]:
        models = [PrefixModel(random_distribution(seed + nth, SYMBOLS.size)) for nth in range(3)]
        found = SEARCHES[name].search(
            ensemble(*models), batch_of([SENTENCES[number] for number in numbers], SYMBOLS), SYMBOLS
        )
        return [(best[0].tokens, best[0].score) for best in found]

    alone = {number: search([number])[0] for number in order}
    for start in range(0, len(order), size):
        group = order[start : start + size]
        for number, (tokens, score) in zip(group, search(group), strict=True):
            assert alone[number][0] == tokens
            assert alone[number][1] == pytest.approx(score, abs=1e-5)


def test_nothing_is_longer_than_the_shortest_positions() -> None:
    class Short(PrefixModel):
        def max_positions(self) -> dict[str, int]:
            return {"source": 7, "target": 4}

    endless = from_table({(A,) * count: {A: 0.9, EOS: 0.1} for count in range(9)}, SYMBOLS.size)
    scorer = ensemble(PrefixModel(endless, positions=5), Short(endless), PrefixModel(endless))
    (best,) = build_greedy(GreedyConfig(max_length=(0.0, 9))).search(scorer, batch_of([(A,)], SYMBOLS), SYMBOLS)

    assert {"source": 7, "target": 4} == scorer.max_positions()
    assert (A, A, A) == best[0].tokens


class Looking(PrefixState):
    """Looks at the same places at every step."""

    def __init__(self, weights: list[float] | None) -> None:
        super().__init__([(A,)], 1)
        self._weights = weights

    @property
    def attention(self) -> Tensor | None:
        return None if self._weights is None else torch.tensor([self._weights])


def test_attention_is_the_mean_of_those_who_say_where_they_looked() -> None:
    def combined(*weights: list[float] | None) -> DecodingState:
        return CombinedState([Looking(each) for each in weights])

    found = combined([0.2, 0.8], None, [0.6, 0.4]).attention

    assert found is not None
    assert [[0.4, 0.6]] == [pytest.approx(row) for row in found.tolist()]
    assert combined(None, None).attention is None


def test_attention_is_asked_of_every_model() -> None:
    asked: list[int] = []

    class Watched(PrefixModel):
        def keep_attention(self, state: DecodingState) -> bool:
            del state
            asked.append(id(self))
            return False

    models = [Watched(random_distribution(1, SYMBOLS.size)) for _ in range(2)]
    scorer = ensemble(*models)
    scorer.start(torch.tensor([[A, EOS]]), torch.tensor([2]), 1)
    assert [] == asked
    scorer.start(torch.tensor([[A, EOS]]), torch.tensor([2]), 1, attention=True)

    assert [id(model) for model in models] == asked
    assert tuple(models) == tuple(scorer.models())
