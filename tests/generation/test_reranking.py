"""Reranking: expected utilities by hand, a second model's say by hand, and a search in another order."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from trained_model import train_result

from specforge.generation.reranking.minimum_risk import MinimumRisk, sacrebleu_utility
from specforge.generation.reranking.reranker import Candidate, Reranker
from specforge.generation.reranking.search import RerankedSearch
from specforge.generation.reranking.second_model import SecondModelReranker
from specforge.generation.target_scores import TargetScorer
from specforge.models.model import EncoderDecoder
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import BeamSearch
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Sources
from specforge.steps.model_folder import TrainedModel, load_model
from specforge.tasks.task import ItemSource


def candidates(*texts: str, probabilities: Sequence[float] = ()) -> list[Candidate]:
    """Return candidates, best first; their scores go down by 1."""
    logprobs = [log(each) for each in probabilities] or [-float(rank) for rank in range(len(texts))]
    return [
        Candidate(text, -float(rank), logprob) for rank, (text, logprob) in enumerate(zip(texts, logprobs, strict=True))
    ]


def overlap(hypothesis: str, reference: str) -> float:
    """Return how many letters of the reference are in the hypothesis."""
    return float(sum(letter in hypothesis for letter in reference))


def test_expected_utility_is_the_mean_over_all_outputs() -> None:
    found = candidates("ab", "bc", "b")
    # each against ab, bc, b
    expected = [(2 + 1 + 1) / 3, (1 + 2 + 1) / 3, (1 + 1 + 1) / 3]

    ((*scores,),) = MinimumRisk(overlap, "count").scores(["source"], [found])

    assert expected == pytest.approx(scores)


def test_every_output_is_the_hypothesis_and_the_others_are_references() -> None:
    found = candidates("a", "aab")
    # `a` holds all of `a` and two letters of `aab`; `aab` holds all of both
    expected = [(1 + 2) / 2, (1 + 3) / 2]

    ((*scores,),) = MinimumRisk(overlap, "count").scores(["source"], [found])

    assert expected == pytest.approx(scores)


def test_an_output_that_was_drawn_twice_counts_twice() -> None:
    found = candidates("ab", "cd", "cd")

    ((*scores,),) = MinimumRisk(overlap, "count").scores(["source"], [found])

    assert [2 / 3, 4 / 3, 4 / 3] == pytest.approx(scores)


def test_outputs_may_count_by_their_probability() -> None:
    found = candidates("ab", "cd", "d", probabilities=[0.2, 0.1, 0.1])  # of the list: 1/2, 1/4, 1/4

    ((*scores,),) = MinimumRisk(overlap, "probability").scores(["source"], [found])

    assert [2 * 0.5, 2 * 0.25 + 0.25, 0.25 + 0.25] == pytest.approx(scores)


def test_an_output_that_stands_twice_counts_by_both_probabilities() -> None:
    found = candidates("ab", "cd", "cd", probabilities=[0.2, 0.2, 0.1])  # of the list: 2/5, and 3/5 for both together

    ((*scores,),) = MinimumRisk(overlap, "probability").scores(["source"], [found])

    assert [2 * 0.4, 2 * 0.6, 2 * 0.6] == pytest.approx(scores)


def test_utilities_are_those_of_sacrebleu() -> None:
    hypothesis, reference = "the cat sat on a mat", "the cat sat on the mat"

    assert CHRF().sentence_score(hypothesis, [reference]).score == sacrebleu_utility("chrf")(hypothesis, reference)
    expected = BLEU(effective_order=True).sentence_score(hypothesis, [reference]).score
    assert expected == sacrebleu_utility("bleu")(hypothesis, reference)
    assert pytest.approx(100.0) == sacrebleu_utility("bleu")("a cat", "a cat")  # which has no runs of three words
    assert -100 / 6 == pytest.approx(sacrebleu_utility("ter")(hypothesis, reference))  # one of six words, downwards


class Letters(TargetScorer):
    """A model that finds every symbol of a target as probable as one in the number of the source's symbols."""

    def __init__(self) -> None:
        self.seen: list[tuple[list[int], list[int]]] = []

    def token_scores(self, items: ItemSource, done: object = None) -> list[NDArray[np.float64]]:
        del done
        pairs = [items.item(number) for number in range(len(items))]
        self.seen = [(pair["source"].tolist(), pair["target"].tolist()) for pair in pairs]
        return [np.full(len(target), -log(len(source))) for source, target in self.seen]


def encode(role: str, lines: Sequence[str]) -> list[list[int]]:
    offset = 10 if role == "target" else 0
    return [[*(offset + ord(letter) - ord("a") for letter in line), 99] for line in lines]


def test_a_second_model_adds_its_mean_log_probability() -> None:
    scorer = Letters()
    reranker = SecondModelReranker(scorer, encode, {}, 0.5, reverse=False)

    scores = reranker.scores(["ab", "c"], [candidates("b", "cc"), candidates("a")])

    assert [([0, 1, 99], [11, 99]), ([0, 1, 99], [12, 12, 99]), ([2, 99], [10, 99])] == scorer.seen
    assert [[-0.5 * log(3), -1 - 0.5 * log(3)], [-0.5 * log(2)]] == [pytest.approx(each) for each in scores]


def test_a_reverse_model_reads_the_outputs() -> None:
    scorer = Letters()
    reranker = SecondModelReranker(scorer, encode, {}, 2.0, reverse=True)

    ((*scores,),) = reranker.scores(["ab"], [candidates("b", "ccc")])

    assert [([1, 99], [10, 11, 99]), ([2, 2, 2, 99], [10, 11, 99])] == scorer.seen
    assert [-2 * log(2), -1 - 2 * log(4)] == pytest.approx(scores)


def test_what_is_too_long_for_the_second_model_counts_as_the_worst() -> None:
    reranker = SecondModelReranker(Letters(), encode, {"source": 4}, 1.0, reverse=True)

    (some, none) = reranker.scores(["a", "a"], [candidates("a", "aaaa", "aaa"), candidates("aaaa")])

    assert [-log(2), -1 - log(4), -2 - log(4)] == pytest.approx(some)
    assert [0.0] == none


class Backwards(Reranker):
    """Finds the last output the best, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[Candidate]]] = []

    def scores(self, sources: Sequence[str], candidates: Sequence[Sequence[Candidate]]) -> list[list[float]]:
        self.asked = [(line, list(found)) for line, found in zip(sources, candidates, strict=True)]
        return [[float(rank) for rank in range(len(found))] for found in candidates]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return load_model(train_result(tmp_path_factory.mktemp("trained")) / "best", torch.device("cpu"))


def test_a_search_gives_its_outputs_in_the_new_order(trained: TrainedModel) -> None:
    assert isinstance(trained.model, EncoderDecoder)
    search, reranker = BeamSearch(BeamConfig(beam=3, max_length=(1.0, 2))), Backwards()
    sources = Sources(torch.tensor([[4, 5, 2], [6, 2, 1]]), torch.tensor([3, 2]))
    asked = (ModelScorer(trained.model), sources, trained.vocabularies["target"].symbols)
    plain = search.search(*asked)

    reranked = RerankedSearch(search, reranker, trained.vocabularies, trained.tokenizer)

    again = reranked.search(*asked)

    assert 3 == reranked.prefixes
    for before, after in zip(plain, again, strict=True):
        assert [each.tokens for each in reversed(before)] == [each.tokens for each in after]
        assert [each.token_scores for each in reversed(before)] == [each.token_scores for each in after]
        assert [2.0, 1.0, 0.0] == [each.score for each in after]
    source = trained.vocabularies["source"]
    assert [" ".join(source.pieces([4, 5])), *source.pieces([6])] == [line for line, _ in reranker.asked]
    for (_, found), before in zip(reranker.asked, plain, strict=True):
        assert [each.score for each in before] == [each.score for each in found]
        assert [exp(sum(each.token_scores)) for each in before] == pytest.approx([exp(each.logprob) for each in found])
        target = trained.vocabularies["target"]
        assert [" ".join(target.pieces(each.tokens)) for each in before] == [each.text for each in found]
