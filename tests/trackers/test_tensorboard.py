"""The TensorBoard tracker: what TensorBoard itself reads from its files."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from specforge.trackers.tensorboard.config import TensorBoardConfig
from specforge.trackers.tensorboard.tracker import build
from specforge.trackers.tracker import Point, TrackedRun

accumulators = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is an extra"
)


def run_in(folder: Path, training: str = "abc") -> TrackedRun:
    return TrackedRun("small", training, folder, {"seed": 1}, "seed = 1\n")


def tell(run: TrackedRun, *points: Point) -> None:
    tracker = build(TensorBoardConfig())
    tracker.start(run)
    for point in points:
        tracker.record(point)
    tracker.close(done=True)


def read(folder: Path) -> tuple[dict[str, list[tuple[int, float]]], list[str]]:
    """Return tag → (updates, value) of all scalars, and the texts."""
    found = accumulators.EventAccumulator(str(folder), {"scalars": 0, "tensors": 0})
    found.Reload()
    tags = found.Tags()
    scalars = {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in tags["scalars"]}
    texts = [
        text.decode()
        for tag in tags["tensors"]
        for event in found.Tensors(tag)
        for text in event.tensor_proto.string_val
    ]
    return scalars, texts


def test_figures_are_scalars_of_their_event(tmp_path: Path) -> None:
    tell(
        run_in(tmp_path),
        Point("train", 50, {"loss": 4.5, "lr": 0.25, "tokens_per_second": 1024.0}, 10.0),
        Point("valid", 50, {"loss": 4.25, "bleu": 12.5}, 11.0),
        Point("train", 100, {"loss": 4.0, "lr": 0.5, "tokens_per_second": 2048.0}, 12.0),
    )

    scalars, texts = read(tmp_path / "abc")

    assert scalars == {
        "train/loss": [(50, 4.5), (100, 4.0)],
        "train/lr": [(50, 0.25), (100, 0.5)],
        "train/tokens_per_second": [(50, 1024.0), (100, 2048.0)],
        "valid/loss": [(50, 4.25)],
        "valid/bleu": [(50, 12.5)],
    }
    assert texts == ["```toml\nseed = 1\n\n```"]


def test_a_training_that_goes_on_is_one_run(tmp_path: Path) -> None:
    tell(run_in(tmp_path), Point("train", 50, {"loss": 4.5}, 10.0))
    tell(run_in(tmp_path), Point("train", 100, {"loss": 4.0}, 20.0))

    scalars, texts = read(tmp_path / "abc")

    assert scalars == {"train/loss": [(50, 4.5), (100, 4.0)]}
    assert len(texts) == 1
    assert len(list((tmp_path / "abc").iterdir())) == 2


def test_another_training_is_another_run(tmp_path: Path) -> None:
    tell(run_in(tmp_path, "abc"), Point("train", 50, {"loss": 4.5}, 10.0))
    tell(run_in(tmp_path, "abc-2"), Point("train", 50, {"loss": 4.0}, 20.0))

    assert read(tmp_path / "abc-2")[0] == {"train/loss": [(50, 4.0)]}


def test_a_point_can_be_seen_at_once(tmp_path: Path) -> None:
    tracker = build(TensorBoardConfig())
    tracker.start(run_in(tmp_path))
    tracker.record(Point("train", 50, {"loss": 4.5}, 10.0))

    assert read(tmp_path / "abc")[0] == {"train/loss": [(50, 4.5)]}

    tracker.close(done=False)
    assert not [thread for thread in threading.enumerate() if "_AsyncWriter" in type(thread).__name__]


def test_neither_torch_nor_tensorflow_is_imported(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from specforge.trackers.tensorboard.config import TensorBoardConfig
from specforge.trackers.tensorboard.tracker import build
from specforge.trackers.tracker import Point, TrackedRun
assert "tensorboard" not in sys.modules
tracker = build(TensorBoardConfig())
tracker.start(TrackedRun("a", "b", Path({str(tmp_path)!r}), {{}}, ""))
tracker.record(Point("train", 1, {{"loss": 1.0}}, 0.0))
tracker.close(done=True)
assert "tensorboard" in sys.modules
assert not {{"torch", "tensorflow"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
