"""`run.profile`: what it asks of the workers, and what is said where nothing is trained."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from small_experiment import SmallExperiment

from specforge.execution.prepare import prepare
from specforge.execution.runner import Options, Runner
from specforge.execution.signals import StopRequest
from specforge.foundation.events import ProgressEvent
from specforge.storage.digests import Digests
from specforge.storage.store import Store

COMMAND = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


class Screen:
    """Keeps the lines that a run shows."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, step: str, event: ProgressEvent) -> None:
        pass

    def end(self, step: str) -> None:
        pass


def run(small: SmallExperiment, *assignments: str) -> list[str]:
    spec, store, digests, screen = small.spec(*assignments), Store(small.folder / "store"), Digests(None), Screen()
    plan = prepare(spec, store, digests)
    Runner(spec, plan, store, digests, screen, StopRequest(), Options(command=COMMAND)).run(plan.steps)
    return screen.lines


def test_the_training_is_told_where_traces_go_and_no_other_step(
    small: SmallExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_LOG", str(small.folder / "jobs"))

    run(small, "run.profile={updates=3}")

    jobs = [json.loads(line) for line in (small.folder / "jobs").read_text().split("\n") if line]
    logs = small.folder / "store" / "runs" / "small" / "logs"
    assert {job["id"]: job["traces"] for job in jobs if job["traces"]} == {"train": str(logs)}
    (train,) = (job for job in jobs if job["kind"] == "train")
    assert train["settings"]["run"]["profile"] == {"after": 10, "updates": 3}


def test_where_the_training_is_reused_that_is_said_and_no_key_changes(small: SmallExperiment) -> None:
    assert not [line for line in run(small) if "profiled" in line]

    said = [line for line in run(small, "run.profile={updates=3}") if "profiled" in line]

    assert said == ["  train: nothing was profiled; `--force train` makes it anew"]
