"""Forty runs are killed at random, in training, in saving and in publishing: all come to the same bits, and truly go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from kills import Experiment, prepared_experiment, survive

RUNS = 40


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return prepared_experiment(tmp_path_factory.mktemp("experiment"))


def test_the_experiment_publishes_and_writes(experiment: Experiment) -> None:
    assert {"best", "last", "average"} == set(experiment.weights)
    assert len(set(experiment.weights.values())) == 3, "three different sets of weights say more than one"
    assert experiment.operations > 200


def test_killed_at_random_it_comes_to_the_same_weights(experiment: Experiment, tmp_path: Path) -> None:
    kills = 0
    for seed in range(RUNS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        survival = survive(experiment, folder, seed)
        kills += survival.kills
        assert survival.equal, (seed, survival)
        assert survival.resumed, (seed, survival)

    assert kills >= RUNS, "too few kills fired"
