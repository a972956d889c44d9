"""Profiled updates: the right ones, as a trace, and nothing of the training changes."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
import torch
from tiny_training import Recipe, Recorder, tiny_trainer

from specforge.training.profiling import Profiler, Window


def annotated(trace: Path) -> list[str]:
    """Return which updates a trace names, in order."""
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    spans = [event for event in events if re.fullmatch(r"update \d+", event.get("name", "")) and event.get("ph") == "X"]
    return [span["name"] for span in sorted(spans, key=lambda span: span["ts"])]


def trained(folder: Path, recipe: Recipe) -> tuple[dict[str, torch.Tensor], Recorder]:
    folder.mkdir(exist_ok=True)
    reporter = Recorder()
    trainer, module = tiny_trainer(recipe, folder, reporter)
    trainer.train()
    return {name: value.clone() for name, value in module.state_dict().items()}, reporter


def test_the_window_is_profiled_and_no_bit_of_the_weights_changes(tmp_path: Path) -> None:
    plain, _ = trained(tmp_path / "plain", Recipe(max_updates=12))
    watched, reporter = trained(tmp_path / "watched", Recipe(max_updates=12, profile=Window(after=3, updates=4)))

    trace = tmp_path / "watched" / "trace.0.json.gz"
    assert annotated(trace) == ["update 4", "update 5", "update 6", "update 7"]
    (said,) = [text for text in reporter.messages if "trace" in text]
    assert said.startswith(f"the trace of updates 4 to 7 is {trace}; ")
    assert all(torch.equal(plain[name], watched[name]) for name in plain)
    assert not (tmp_path / "plain" / "trace.0.json.gz").exists()


def test_a_resumed_training_counts_from_where_it_goes_on(tmp_path: Path) -> None:
    trained(tmp_path, Recipe(max_updates=6))
    trained(tmp_path, Recipe(max_updates=12, profile=Window(after=1, updates=2)))

    assert annotated(tmp_path / "trace.0.json.gz") == ["update 8", "update 9"]


def test_a_training_that_ends_inside_of_the_window_has_a_trace(tmp_path: Path) -> None:
    reporter = Recorder()
    profiler = Profiler(Window(after=1, updates=100), tmp_path / "trace.json.gz", reporter)
    for number in (1, 2, 3):
        with profiler.update(number):
            torch.ones(3).sum()
    profiler.close()
    profiler.close()

    assert annotated(tmp_path / "trace.json.gz") == ["update 2", "update 3"]
    assert len(reporter.messages) == 1
    assert "aten::sum" in gzip.decompress((tmp_path / "trace.json.gz").read_bytes()).decode()


def test_one_that_ends_before_says_that_nothing_was_profiled(tmp_path: Path) -> None:
    reporter = Recorder()
    profiler = Profiler(Window(after=2, updates=1), tmp_path / "trace.json.gz", reporter)
    for number in (1, 2):
        with profiler.update(number):
            pass
    profiler.close()

    assert reporter.warnings == ["nothing was profiled: there were 2 updates, and `run.profile` waits for 2"]
    assert list(tmp_path.iterdir()) == []


def test_a_trace_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    reporter = Recorder()
    profiler = Profiler(Window(after=0, updates=1), tmp_path / "none" / "trace.json.gz", reporter)
    with profiler.update(1):
        pass

    assert len(reporter.warnings) == 1
    assert reporter.warnings[0].startswith("the trace cannot be written: ")


@pytest.mark.parametrize("number", [1, 2])
def test_without_a_window_nothing_happens(tmp_path: Path, number: int) -> None:
    reporter = Recorder()
    profiler = Profiler(None, tmp_path, reporter)
    with profiler.update(number):
        pass
    profiler.close()

    assert reporter == Recorder()
