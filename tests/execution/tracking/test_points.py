"""Points of a training, from records and from the log of a run with all its attempts."""

from __future__ import annotations

import json
from math import inf, nan
from pathlib import Path

import pytest
from pydantic import JsonValue

from specforge.execution.tracking.points import Recorded, point_of, recorded
from specforge.trackers.tracker import Point

A, B = "a" * 64, "b" * 64


def start(trajectory: str, reason: str = "no result yet") -> dict[str, JsonValue]:
    return {"time": 1, "event": "start", "key": "…", "trajectory": trajectory, "reason": reason}


def train(updates: int, loss: float = 1.0) -> dict[str, JsonValue]:
    return {"time": 2.5, "event": "train", "updates": updates, "loss": loss}


def log_of(folder: Path, *records: dict[str, JsonValue]) -> Path:
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def updates(found: Recorded) -> list[int]:
    return [point.updates for point in found.points]


def test_only_finite_numbers_are_figures() -> None:
    values: dict[str, JsonValue] = {
        "updates": 8,
        "epoch": 2,
        "loss": 1.5,
        "best": True,
        "name": "a",
        "no": None,
        "x": nan,
        "y": inf,
    }

    assert Point("valid", 8, {"epoch": 2.0, "loss": 1.5}, 3.0) == point_of("valid", values, 3.0)


@pytest.mark.parametrize(
    "values", [{"loss": 1.0}, {"updates": None, "loss": 1.0}, {"updates": 8}, {"updates": 8, "b": True}]
)
def test_a_record_without_updates_or_figures_is_no_point(values: dict[str, JsonValue]) -> None:
    assert point_of("checkpoint", values, 0.0) is None


def test_all_attempts_of_a_training_are_one(tmp_path: Path) -> None:
    log = log_of(tmp_path, start(A), train(10), train(20), start(A), train(20), train(30))

    found = recorded(log, A)

    assert found.id == "a" * 12
    assert updates(found) == [10, 20, 20, 30]
    assert found.points[0] == Point("train", 10, {"loss": 1.0}, 2.5)


def test_another_training_in_between_is_passed_over(tmp_path: Path) -> None:
    log = log_of(tmp_path, start(A), train(10), start(B), train(11), start(A), train(20))

    assert updates(recorded(log, A)) == [10, 20]
    assert updates(recorded(log, B)) == [11]


def test_a_forced_training_is_another_one(tmp_path: Path) -> None:
    log = log_of(tmp_path, start(A), train(10), start(A, "forced"), train(11), start(A), train(12))

    found = recorded(log, A)

    assert found.id == f"{'a' * 12}-2"
    assert updates(found) == [11, 12]


def test_a_log_of_before_trackers_and_half_a_line_tell_nothing(tmp_path: Path) -> None:
    log = log_of(tmp_path, {"time": 1, "event": "start", "key": "…"}, train(10), start(A), train(20))
    with log.open("a") as file:
        file.write('{"event": "train", "upd')

    assert updates(recorded(log, A)) == [20]
    assert recorded(tmp_path / "none.jsonl", A) == Recorded("a" * 12)
