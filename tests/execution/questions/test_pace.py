"""The expected duration of training: from its own checkpoints, else from finished trainings of the same kind and host."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pydantic import JsonValue

from specforge.execution.questions.pace import expected_seconds
from specforge.foundation import durable
from specforge.planning.estimates import Estimates, Memory
from specforge.planning.plan import State, Step
from specforge.storage.store import Store

HERE = socket.gethostname()
PACE: dict[str, JsonValue] = {"device": "cpu", "devices": 1, "precision": "fp32", "seconds": 50.0, "flop": 1_000.0}
CHECKPOINT: dict[str, JsonValue] = {"updates": 40, "host": HERE, "device": "cpu", "devices": 1, "seconds": 20.0}


def found(*, updates: int | None = 100, flop: float | None = 10.0, memory: bool = True) -> Estimates:
    held = Memory(device="cpu", state=1, activations=1) if memory else None
    return Estimates(
        parameters=1,
        trainable=1,
        by_part={},
        updates=updates,
        flop_per_update=flop,
        memory=held,
        approximate=["padding"],
    )


def train(state: State = State.RUN) -> Step:
    settings: dict[str, JsonValue] = {"run": {"devices": 1}, "train": {"precision": "fp32"}}
    return Step("train", "train", "a" * 64, state, "", (), {}, (), {}, settings, "t" * 64)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "store")
    opened.create()
    return opened


def finished(store: Store, name: str, *, host: str = HERE, at: str = "2026-01-01", **pace: JsonValue) -> None:
    """Publish a training that did its work at a pace."""
    made: JsonValue = {"host": host, "at": at, "pace": {**PACE, **pace}}
    durable.publish(durable.temporary_folder(store.root / "tmp", "x"), store.result("train", name), {"made": made})


def saved(store: Store, name: str, **facts: JsonValue) -> None:
    """Publish a checkpoint of the training."""
    folder = durable.make_folder(store.work("t" * 64) / "checkpoints")
    durable.publish(durable.temporary_folder(store.root / "tmp", "x"), folder / name, {**CHECKPOINT, **facts})


def test_without_an_earlier_training_nothing_is_said(store: Store) -> None:
    assert found() == expected_seconds(found(), train(), store)


def test_a_store_that_is_not_there_knows_nothing(tmp_path: Path) -> None:
    assert found() == expected_seconds(found(), train(), Store(tmp_path / "none"))


def test_an_earlier_training_gives_operations_in_a_second(store: Store) -> None:
    finished(store, "one")  # 20 a second

    result = expected_seconds(found(), train(), store)

    assert 100 * 10.0 / 20.0 == result.seconds
    assert ["padding", "seconds"] == result.approximate


def test_the_median_of_the_last_five_counts(store: Store) -> None:
    for number, flop in enumerate([1.0, 1.0, 1.0, 100.0, 200.0, 400.0, 800.0, 1_600.0]):
        finished(store, f"number{number}", at=f"2026-01-0{number + 1}", flop=flop)

    assert 100 * 10.0 / (400.0 / 50.0) == expected_seconds(found(), train(), store).seconds


@pytest.mark.parametrize(
    "other",
    [
        {"host": "elsewhere"},
        {"device": "cuda"},
        {"devices": 2},
        {"precision": "bf16"},
        {"flop": None},
        {"seconds": 0.0},
    ],
)
def test_a_training_of_another_kind_says_nothing(other: dict[str, str], store: Store) -> None:
    finished(store, "one", **other)

    assert expected_seconds(found(), train(), store).seconds is None


def test_its_own_checkpoint_says_it_better(store: Store) -> None:
    finished(store, "one")
    saved(store, "40")
    saved(store, "120", updates=120)  # of a larger budget

    result = expected_seconds(found(), train(State.RESUME), store)

    assert 40 == result.updates_done
    assert 60 * 20.0 / 40 == result.seconds


@pytest.mark.parametrize("other", [{"host": "elsewhere"}, {"devices": 2}, {"device": "cuda"}, {"seconds": None}])
def test_a_checkpoint_of_other_circumstances_only_says_how_far_it_is(other: dict[str, JsonValue], store: Store) -> None:
    finished(store, "one")
    saved(store, "40", **other)

    result = expected_seconds(found(), train(State.RESUME), store)

    assert (40, 60 * 10.0 / 20.0) == (result.updates_done, result.seconds)


def test_a_training_that_is_done_takes_no_time(store: Store) -> None:
    result = expected_seconds(found(), train(State.REUSE), store)

    assert (100, 0.0) == (result.updates_done, result.seconds)


@pytest.mark.parametrize("unknown", [{"updates": None}, {"flop": None, "memory": False}])
def test_what_is_not_known_leads_to_no_duration(unknown: dict[str, None], store: Store) -> None:
    finished(store, "one")

    assert expected_seconds(found(**unknown), train(), store).seconds is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "made", [None, 3, {"host": HERE}, {"host": HERE, "pace": 3}, {"host": HERE, "pace": {"flop": "x"}}]
)
def test_a_manifest_that_says_something_else_is_passed_over(made: JsonValue, store: Store) -> None:
    durable.publish(durable.temporary_folder(store.root / "tmp", "x"), store.result("train", "odd"), {"made": made})

    assert expected_seconds(found(), train(), store).seconds is None
