from __future__ import annotations

import time
from math import log

import pytest
from tiny_training import Recorder

from specforge.foundation.events import Scalar
from specforge.training.log import TrainingLog, UpdateFigures, in_bits, perplexity


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(time, "monotonic", found)
    return found


def _figures(nats: float, *, count: int = 10, norm: float = 1.0) -> UpdateFigures:
    return UpdateFigures(
        updates=1,
        epoch=2,
        loss=nats * count,
        nll=nats * count / 2,
        count=count,
        tokens=count,
        real=18,
        padded=20,
        gradient_norm=norm,
        lr=0.5,
        waited=0.25,
    )


def test_a_line_is_about_the_updates_since_the_last(clock: Clock) -> None:
    recorder = Recorder()
    training_log = TrainingLog(recorder, every=2)
    for updates, figures in enumerate(
        [_figures(9.0), _figures(9.0), _figures(4 * log(2)), _figures(2 * log(2), count=30, norm=3.0)], 1
    ):
        clock.now += 1.0
        training_log.update(figures, updates, total=None, seconds=7.0)

    line = recorder.named("train")[1]
    # (10 · 4 + 30 · 2) bits over 40 targets in two seconds
    assert {
        "updates": 4, "epoch": 2, "loss": 2.5, "nll": 1.25, "ppl": 2**1.25, "lr": 0.5, "gradient_norm": 2.0,
        "tokens_per_update": 20.0, "tokens_per_second": 20.0, "padding_percent": 10.0, "data_wait_percent": 25.0,
        "seconds": 7.0,
    } == pytest.approx(line)  # fmt: skip


def test_time_spent_elsewhere_is_left_out(clock: Clock) -> None:
    recorder = Recorder()
    training_log = TrainingLog(recorder, every=1)
    clock.now += 12.0
    training_log.pause(10.0)
    training_log.update(_figures(1.0), 1, total=None, seconds=0.0)

    assert 5.0 == recorder.named("train")[0]["tokens_per_second"]


def test_progress_moves_a_few_times_a_second_and_at_the_end(clock: Clock) -> None:
    recorder = Recorder()
    training_log = TrainingLog(recorder, every=1_000)
    for updates in range(1, 101):
        clock.now += 0.01
        training_log.update(_figures(1.0), updates, total=100, seconds=0.0)

    shown = [done for done, _ in recorder.bars]
    assert 4 <= len(shown) <= 6
    assert (1, 100) == (shown[0], shown[-1])


def test_bits_and_perplexity() -> None:
    assert 3.0 == pytest.approx(in_bits(5 * 3 * log(2), 5))
    assert 8.0 == perplexity(3.0)
    assert 2.0**1000 == perplexity(5_000.0), "a number that JSON has"


class Shown(Recorder):
    """A recorder of what people see beside a bar."""

    def __init__(self) -> None:
        super().__init__()
        self.beside: list[dict[str, Scalar]] = []

    def progress(self, done: int, total: int | None, unit: str, **values: Scalar) -> None:
        super().progress(done, total, unit, **values)
        self.beside.append(values)


def test_what_matters_most_is_shown_first_and_the_last_validation_with_it(clock: Clock) -> None:
    shown = Shown()
    training_log = TrainingLog(shown, every=1)
    clock.now += 1.0
    training_log.update(_figures(log(2)), 1, total=None, seconds=1.0)
    clock.now += 1.0
    training_log.update(_figures(log(2)), 2, total=None, seconds=2.0, validated={"bleu": 31.25})

    before, after = shown.beside
    assert list(before) == ["loss", "ppl", "tokens_per_second", "epoch", "lr", "gradient_norm"]
    assert list(after)[:4] == ["loss", "ppl", "tokens_per_second", "valid bleu"]
    assert (after["valid bleu"], after["loss"], after["tokens_per_second"]) == (31.25, 1.0, 10)
