"""Sampling: what can be drawn, how often it is, and that neighbours change no draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import exp, inf, log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prefix_model import Distribution, Prefix, PrefixModel, batch_of, from_table, random_distribution
from pydantic import ValidationError

from specforge.foundation.errors import StepFailedError
from specforge.plugin import Symbols
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.greedy.search import build as build_greedy
from specforge.searches.sampling.config import SamplingConfig
from specforge.searches.sampling.noise import gumbel, mixed
from specforge.searches.sampling.search import build, likeliest
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Hypothesis

EOS, A, B = 2, 4, 5
SYMBOLS = Symbols(size=6)
TABLE = {(): {A: 0.7, B: 0.2, EOS: 0.1}, (A,): {EOS: 0.5, B: 0.5}, (B,): {EOS: 1.0}, (A, B): {EOS: 1.0}}


def draw(
    config: SamplingConfig, distribution: Distribution, sources: Sequence[Prefix] = ((A,),)
) -> list[list[Hypothesis]]:
    return build(config).search(ModelScorer(PrefixModel(distribution)), batch_of(sources, SYMBOLS), SYMBOLS)


def test_outputs_are_drawn_by_their_probability() -> None:
    (found,) = draw(SamplingConfig(samples=1_000, min_length=0), from_table(TABLE, 6))

    counts = Counter(hypothesis.tokens for hypothesis in found)
    # five standard deviations of a count of 1,000
    assert 350 == pytest.approx(counts[A,], abs=76)
    assert 350 == pytest.approx(counts[A, B], abs=76)
    assert 200 == pytest.approx(counts[B,], abs=64)
    assert 100 == pytest.approx(counts[()], abs=48)


def test_scores_are_what_the_model_says_and_the_likeliest_comes_first() -> None:
    (found,) = draw(SamplingConfig(samples=50, temperature=3.0, min_length=0), from_table(TABLE, 6))

    expected = {
        (): log(0.1),
        (A,): log(0.7 * 0.5) / 2,
        (B,): log(0.2) / 2,
        (A, B): log(0.7 * 0.5) / 3,
    }
    assert expected == {hypothesis.tokens: pytest.approx(hypothesis.score) for hypothesis in found}
    assert sorted((hypothesis.score for hypothesis in found), reverse=True) == [each.score for each in found]


def test_temperature_makes_it_bolder_or_surer() -> None:
    def share_of_a(temperature: float) -> float:
        (found,) = draw(SamplingConfig(samples=1_000, temperature=temperature), from_table(TABLE, 6))
        return sum(hypothesis.tokens[:1] == (A,) for hypothesis in found) / 1_000

    # without the end, 0.7 and 0.2: squared 0.49 and 0.04, their roots 0.837 and 0.447
    assert 0.49 / 0.53 == pytest.approx(share_of_a(0.5), abs=0.042)
    assert 0.837 / 1.284 == pytest.approx(share_of_a(2.0), abs=0.075)


def test_top_k_draws_from_the_likeliest_alone() -> None:
    (found,) = draw(SamplingConfig(samples=200, top_k=2, min_length=0), from_table(TABLE, 6))

    assert {(A,), (A, B), (B,)} == {hypothesis.tokens for hypothesis in found}


def drawable(values: torch.Tensor, top_k: int, top_p: float) -> list[dict[int, float]]:
    left, symbols = likeliest(values, top_k, top_p)
    return [
        {symbol: value for symbol, value in zip(row, row_of_values, strict=True) if value > -inf}
        for row, row_of_values in zip(symbols.expand_as(left).tolist(), left.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.3, {A}), (0.5, {A}), (0.50001, {A, B}), (0.75, {A, B}), (0.8, {A, B, EOS}), (1.0, {A, B, EOS, 3})],
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p: float, kept: set[int]) -> None:
    values = torch.tensor([[-inf, -inf, log(0.15), log(0.1), log(0.5), log(0.25)]], dtype=torch.float64)

    (left,) = drawable(values, 0, top_p)

    assert {symbol: float(values[0, symbol]) for symbol in kept} == left


def test_top_p_looks_at_what_top_k_leaves() -> None:
    values = torch.tensor([[log(0.5), log(0.3), log(0.2)]])

    # of 0.5 and 0.3 the first has 0.625
    assert {0} == set(drawable(values, 2, 0.6)[0])
    assert {0, 1} == set(drawable(values, 2, 0.63)[0])
    assert {0, 1} == set(drawable(values, 0, 0.6)[0])


def test_what_is_ruled_out_is_no_part_of_what_is_to_be_reached() -> None:
    values = torch.tensor([[-inf, log(0.3), log(0.2)]])  # 0.6 and 0.4 of what is left

    assert {1} == set(drawable(values, 0, 0.59)[0])


def test_a_row_that_is_sure_does_not_cut_short_one_that_is_not() -> None:
    """The one needs a single symbol; the other, where all 1,000 are alike, needs 700 of them."""
    alike = torch.zeros(1_000, dtype=torch.float64)
    sure = alike.clone()
    sure[7] = 50.0

    of_the_sure, of_the_others = drawable(torch.stack([sure, alike]).log_softmax(dim=1), 0, 0.6995)

    assert {7} == set(of_the_sure)
    assert 700 == len(of_the_others)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**30), sharp=st.floats(0.1, 20.0), top_p=st.floats(0.05, 1.0, exclude_max=True))
def test_a_large_vocabulary_is_cut_as_a_sorted_list_is(seed: int, sharp: float, top_p: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = (sharp * torch.randn(2, 1_000, generator=generator, dtype=torch.float64)).log_softmax(dim=1)

    for row, left in zip(values.tolist(), drawable(values, 0, top_p), strict=True):
        ranked = sorted(range(1_000), key=lambda symbol: -row[symbol])
        reached = [sum(exp(row[symbol]) for symbol in ranked[:number]) for number in range(len(left) + 1)]
        assert {symbol: row[symbol] for symbol in ranked[: len(left)]} == left
        assert reached[-2] < top_p + 1e-9
        assert reached[-1] > top_p - 1e-9


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**30), top_p=st.floats(0.01, 1.0))
def test_one_symbol_to_choose_from_is_greedy_search(seed: int, top_p: float) -> None:
    distribution = random_distribution(seed, 6)
    sources = [(A,), (B, A, A), ()]
    model = PrefixModel(distribution)
    greedy = build_greedy(GreedyConfig(max_length=(1.0, 2)))

    expected = greedy.search(ModelScorer(model), batch_of(sources, SYMBOLS), SYMBOLS)

    assert expected == draw(SamplingConfig(max_length=(1.0, 2), top_k=1, top_p=top_p), distribution, sources)


def test_the_seed_and_the_sentence_decide_and_more_samples_change_none() -> None:
    distribution = random_distribution(5, 6)

    def outputs(seed: int, source: Prefix, samples: int) -> Counter[Prefix]:
        config = SamplingConfig(seed=seed, samples=samples, max_length=(0, 30), temperature=2.0)
        (found,) = draw(config, lambda _, prefix: distribution((), prefix), [source])
        return Counter(hypothesis.tokens for hypothesis in found)

    four = outputs(1, (A,), 4)
    assert four == outputs(1, (A,), 4)
    assert four != outputs(2, (A,), 4)
    assert four != outputs(1, (B,), 4)
    assert four <= outputs(1, (A,), 9)


def test_samples_of_a_sentence_differ_and_so_do_the_steps_of_a_sample() -> None:
    (found,) = draw(
        SamplingConfig(samples=20, max_length=(0, 20), min_length=20), lambda _, __: [0.0, 0.0, 0.1, 0.3, 0.3, 0.3]
    )

    assert 20 == len({hypothesis.tokens for hypothesis in found})
    assert all(len(set(hypothesis.tokens)) > 1 for hypothesis in found)


def test_what_has_ended_is_not_asked_any_more() -> None:
    def nothing_after_the_end(source: Prefix, prefix: Prefix) -> list[float]:
        return [float("nan")] * 6 if EOS in prefix else list(from_table(TABLE, 6)(source, prefix))

    (found,) = draw(SamplingConfig(samples=20, min_length=0), nothing_after_the_end)

    assert {0, 1, 2} == {len(hypothesis.tokens) for hypothesis in found}  # so some had to wait for others


def test_scores_that_are_not_numbers_end_the_search() -> None:
    with pytest.raises(StepFailedError) as caught:
        draw(SamplingConfig(samples=3), lambda _source, _prefix: [float("nan")] * 6)

    assert "SF633" == caught.value.code


def test_the_numbers_are_those_of_splitmix64() -> None:
    # the first three of the reference implementation, seeded with 1234567
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]

    found = mixed(torch.tensor([1234567]), torch.arange(3))

    assert expected == [number % 2**64 for number in found.tolist()]


def test_noise_has_the_mean_and_the_spread_of_gumbels_distribution() -> None:
    noise = gumbel(torch.tensor([7, 8]), torch.arange(50_000))

    assert [0.5772, 0.5772] == pytest.approx(noise.mean(dim=1).tolist(), abs=0.03)
    assert [1.2825, 1.2825] == pytest.approx(noise.std(dim=1).tolist(), abs=0.03)
    assert bool(noise.isfinite().all())


@pytest.mark.parametrize(
    "text",
    ['{"top_p": 0.0}', '{"top_p": 1.1}', '{"temperature": 1e-40}', '{"top_k": -1}', '{"samples": 0}', '{"beam": 5}'],
)
def test_wrong_options_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        SamplingConfig.model_validate_json(text)


def test_one_symbol_to_choose_from_is_odd() -> None:
    (oddity,) = SamplingConfig(top_k=1, samples=4, top_p=0.5).oddities()

    assert ("top_k", "SF414", ["samples", "top_p"]) == (oddity.key, oddity.code, list(oddity.others))
    assert () == SamplingConfig(top_k=2, samples=4).oddities()
