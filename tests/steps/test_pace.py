"""What a training says of its speed when it ends, against the operations that its estimate has."""

from __future__ import annotations

from pathlib import Path

import pytest
from preprocess_jobs import make_job, parallel, prepared
from pydantic import JsonValue

from specforge.execution.job import Job
from specforge.foundation.errors import WrongInputError
from specforge.foundation.events import PACE, Scalar, SilentReporter
from specforge.steps import pace
from specforge.steps.estimate import estimates
from specforge.training.state import TrainingState


class Records(SilentReporter):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, Scalar]]] = []

    def record(self, name: str, **values: Scalar) -> None:
        self.records.append((name, values))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A train job, as the runner makes it, over a few lines."""
    corpora = [parallel(tmp_path, "train/0", "a b\nc\n", "x\ny z\n"), parallel(tmp_path, "valid", "a\n", "x\n")]
    data, _ = prepared(make_job(tmp_path / "data", corpora))
    model: JsonValue = {"use": "transformer", "encoder_layers": 1, "decoder_layers": 1, "embed_dim": 8, "ffn_dim": 8}
    settings: dict[str, JsonValue] = {
        "seed": 1,
        "task": {"use": "translation", "source": "en", "target": "de"},
        "model": model,
        "criterion": {"use": "cross_entropy"},
        "optimizer": {"use": "adam", "lr": 0.1},
        "train": {"max_updates": 30, "precision": "fp32"},
        "run": {"device": "cpu"},
        "data": {"train": [{"weight": 1.0}]},
    }
    return Job(id="train", kind="train", settings=settings, needs={"preprocess": str(data)})


def trained(seconds: float) -> TrainingState:
    return TrainingState(updates=30, seconds=seconds, environment={"device": "cpu", "devices": 1})


def test_a_training_says_its_operations_and_its_seconds(job: Job) -> None:
    heard = Records()

    pace.report_pace(job, trained(21.5), heard)

    flop = estimates(job).flop_per_update
    assert flop is not None
    figures = {"device": "cpu", "devices": 1, "precision": "fp32", "seconds": 21.5, "flop": 30 * flop}
    assert [(PACE, figures)] == heard.records


def test_a_short_training_says_nothing(job: Job) -> None:
    heard = Records()

    pace.report_pace(job, trained(19.9), heard)

    assert [] == heard.records


@pytest.mark.parametrize("error", [WrongInputError("SF402", "no"), RuntimeError("of torch")])
def test_an_estimate_that_fails_does_not_spoil_a_training(
    error: Exception, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Job) -> None:
        raise error

    heard = Records()
    monkeypatch.setattr(pace, "estimates", fail)

    pace.report_pace(job, trained(100.0), heard)

    assert [] == heard.records
