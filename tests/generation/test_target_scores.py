"""Scores of given targets: what the search says of its own outputs, whatever stands beside them in a batch."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from trained_model import train_result

from specforge.data.memory_lines import MemoryLines
from specforge.generation.target_scores import TargetScorer
from specforge.models.model import EncoderDecoder
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import BeamSearch
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Sources
from specforge.steps.model_folder import TrainedModel, load_model

CPU = torch.device("cpu")
EOS = 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return load_model(train_result(tmp_path_factory.mktemp("trained")) / "best", CPU)


@pytest.fixture(scope="module")
def exact(trained: TrainedModel) -> TrainedModel:
    """In float64, where rounding is too small to hide anything.

    Weights three times as large as usual amplify what float32 rounds, and how it rounds depends on processor and threads: by 2e-5
    to 1e-4, in scores down to -20.
    """
    return replace(trained, model=copy.deepcopy(trained.model).double())


def scores(trained: TrainedModel, pairs: list[tuple[list[int], list[int]]], batch_tokens: int) -> list[list[float]]:
    lines = MemoryLines("source", "target")
    lines.append({"source": [source for source, _ in pairs], "target": [target for _, target in pairs]})
    scorer = TargetScorer(trained.task, trained.model, batch_tokens, CPU)
    return [found.tolist() for found in scorer.token_scores(lines)]


def joined(lists: list[list[float]]) -> list[float]:
    return [score for scores in lists for score in scores]


def test_what_the_search_found_has_the_scores_that_it_was_found_by(exact: TrainedModel) -> None:
    sources = [[4, 5, 6, EOS], [6, EOS], [5, 5, EOS]]
    search = BeamSearch(BeamConfig(beam=3, max_length=(1.0, 2)))
    pairs: list[tuple[list[int], list[int]]] = []
    expected: list[list[float]] = []
    assert isinstance(exact.model, EncoderDecoder)
    for source in sources:
        given = Sources(torch.tensor([source]), torch.tensor([len(source)]))
        symbols = exact.vocabularies["target"].symbols
        (found,) = search.search(ModelScorer(exact.model), given, symbols)
        pairs += [(source, [*hypothesis.tokens, EOS]) for hypothesis in found]
        expected += [list(hypothesis.token_scores) for hypothesis in found]

    assert 9 == len(pairs)
    assert joined(expected) == pytest.approx(joined(scores(exact, pairs, 64)), rel=0, abs=1e-12)


def test_neighbours_change_nothing(exact: TrainedModel) -> None:
    random = np.random.default_rng(5)

    def line() -> list[int]:
        return [*random.integers(4, 7, size=random.integers(0, 9)).tolist(), EOS]

    pairs = [(line(), line()) for _ in range(40)]
    alone = [scores(exact, [pair], 1)[0] for pair in pairs]

    for batch_tokens in (1, 16, 50, 1_000):
        together = scores(exact, pairs, batch_tokens)
        assert [len(target) for _, target in pairs] == [len(found) for found in together]
        assert joined(alone) == pytest.approx(joined(together), rel=0, abs=1e-12)


def test_long_targets_are_projected_in_parts(trained: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [([4, EOS], [5, 6, 4, EOS]), ([5, EOS], [5, EOS])]
    whole = scores(trained, pairs, 100)
    monkeypatch.setattr("specforge.generation.target_scores._PLACES", 4)

    parts = scores(trained, pairs, 100)

    assert joined(whole) == pytest.approx(joined(parts), abs=1e-6)


def test_no_items_have_no_scores(trained: TrainedModel) -> None:
    assert [] == scores(trained, [], 10)
