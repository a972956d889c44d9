"""The points of a sweep with workers that have no engine: what runs once, what goes on, what is written down."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.execution.runner import Options
from specforge.execution.signals import StopRequest
from specforge.execution.sweeps.sweep_folder import PointOutcome, SweepFolder
from specforge.execution.sweeps.sweep_runner import Choice, SweepRunner
from specforge.foundation.errors import InterruptedRunError, RefusedError
from specforge.foundation.events import ProgressEvent
from specforge.language.resolve import load_sweep
from specforge.language.spec import Point
from specforge.planning.plan import Plan
from specforge.storage.digests import Digests
from specforge.storage.store import Store

COMMAND = (sys.executable, str(Path(__file__).parent.with_name("fake_worker.py")))

SWEEP = """
[sweep.grid]
optimizer.lr = [0.1, 0.2]
generate.search.beam = [1, 2]
"""


class Screen:
    """Keeps what a run shows, and may press Ctrl-C at a line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stop_at: tuple[str, StopRequest] | None = None

    def line(self, text: str) -> None:
        self.lines.append(text)
        if self.stop_at is not None and self.stop_at[0] in text:
            self.stop_at[1].note(2)

    def progress(self, step: str, event: ProgressEvent) -> None:
        """Show nothing."""

    def end(self, step: str) -> None:
        """Show nothing."""


class Bench:
    """Runs the sweep of a small experiment with fake workers."""

    def __init__(self, small: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
        self.small = small
        self.path = small.write_spec(SMALL_SPEC + SWEEP, "sweep.toml")
        self.store = Store(small.folder / "store")
        self.screen = Screen()
        self.stop = StopRequest()
        self.reported: list[int] = []
        self._log = small.folder / "jobs"
        monkeypatch.setenv("FAKE_LOG", str(self._log))

    def run(self, *, force: frozenset[str] = frozenset(), kinds: frozenset[str] | None = None) -> list[PointOutcome]:
        self.screen.lines.clear()
        self._log.unlink(missing_ok=True)
        spec, points = load_sweep(self.path)

        def choose(plan: Plan) -> Choice:
            return Choice(tuple(step for step in plan.steps if kinds is None or step.kind in kinds), force)

        def announce(point: Point, is_there: bool) -> None:  # noqa: FBT001  # as the runner calls it
            self.screen.line(f"point {point.number} {'there' if is_there else 'run'}")

        runner = SweepRunner(
            self.store,
            Digests(None),
            self.screen,
            self.stop,
            Options(command=COMMAND),
            choose=choose,
            announce=announce,
            report=lambda outcome: self.reported.append(outcome.point.number),
        )
        return runner.run(points, SweepFolder(self.store, spec.name, spec.path.resolve()))

    @property
    def jobs(self) -> list[str]:
        """The kinds of the jobs of the last run, in order."""
        return (
            [json.loads(line)["kind"] for line in self._log.read_text().rstrip("\n").split("\n")]
            if self._log.exists()
            else []
        )

    @property
    def written(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.store.run_folder("sweep") / "sweep.json").read_text())
        return document


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(SmallExperiment(tmp_path), monkeypatch)


def test_shared_steps_run_once_and_a_second_run_makes_nothing(bench: Bench) -> None:
    first = bench.run()

    # Fake workers write the same for every beam and rate, so that scores, and generate at point 3, come out equal.
    assert ["preprocess", "train", "generate", "score", "generate", "train"] == bench.jobs
    assert ["done"] * 4 == [outcome.state for outcome in first]

    second = bench.run()

    assert [] == bench.jobs
    assert [f"point {number} there" for number in (1, 2, 3, 4)] == bench.screen.lines
    assert [outcome.scores for outcome in first] == [outcome.scores for outcome in second]


def test_sweep_json_holds_points_values_and_scores(bench: Bench) -> None:
    bench.run()

    document = bench.written
    assert (1, "sweep", str(bench.path)) == (document["format"], document["name"], document["spec"])
    assert [
        (1, {"optimizer.lr": 0.1, "generate.search.beam": 1}),
        (2, {"optimizer.lr": 0.1, "generate.search.beam": 2}),
        (3, {"optimizer.lr": 0.2, "generate.search.beam": 1}),
        (4, {"optimizer.lr": 0.2, "generate.search.beam": 2}),
    ] == [(point["number"], point["values"]) for point in document["points"]]
    third = document["points"][2]
    assert ("sweep.lr-0.2.beam-1", "done", None) == (third["name"], third["state"], third["error"])
    assert ("bleu", 50) == (third["scores"]["test"][0]["name"], third["scores"]["test"][0]["value"])


def test_a_point_that_fails_stops_no_other_but_those_that_share_what_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRAIN", 'picky:"lr": 0.1')

    outcomes = bench.run()

    assert ["failed", "failed", "done", "done"] == [outcome.state for outcome in outcomes]
    assert [1, 2] == bench.reported
    assert 2 == bench.jobs.count("train"), "the training that failed is not tried at point 2 again"
    assert outcomes[1].error is not None
    assert [None, 1, None, None] == [outcome.failed_with for outcome in outcomes]
    assert "SF633" == outcomes[1].error.code
    assert {"code": "SF633", "message": "not finite"} == bench.written["points"][0]["error"]


def test_what_failed_runs_when_the_sweep_runs_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRAIN", 'picky:"lr": 0.1')
    bench.run()
    monkeypatch.delenv("FAKE_TRAIN")

    outcomes = bench.run()

    assert ["done"] * 4 == [outcome.state for outcome in outcomes]
    assert 1 == bench.jobs.count("train")


def test_a_request_to_stop_ends_the_sweep(bench: Bench) -> None:
    bench.screen.stop_at = ("point 2", bench.stop)

    with pytest.raises(InterruptedRunError):
        bench.run()

    assert "point 3 run" not in bench.screen.lines
    assert ["done", "waiting", "waiting", "waiting"] == [point["state"] for point in bench.written["points"]]


def test_a_shared_step_is_forced_once(bench: Bench) -> None:
    bench.run()

    bench.run(force=frozenset({"preprocess", "train"}))

    assert {"preprocess": 1, "train": 2} == {kind: bench.jobs.count(kind) for kind in ("preprocess", "train")}


def test_only_the_chosen_steps_run(bench: Bench) -> None:
    outcomes = bench.run(kinds=frozenset({"preprocess", "train"}))

    assert {"preprocess", "train"} == set(bench.jobs)
    assert [{}] * 4 == [outcome.scores for outcome in outcomes]


@pytest.mark.parametrize("file", ["plan.json", "sweep.json"])
def test_a_name_that_another_spec_holds_is_refused_before_anything_runs(bench: Bench, file: str) -> None:
    other = bench.small.write_spec(SMALL_SPEC, "other.toml")
    folder = bench.store.run_folder("sweep")
    folder.mkdir(parents=True)
    (folder / file).write_text(json.dumps({"format": 1, "spec": str(other)}))

    with pytest.raises(RefusedError, match="held by") as caught:
        bench.run()

    assert "SF622" == caught.value.code
    assert [] == bench.jobs
    other.unlink()
    assert ["done"] * 4 == [outcome.state for outcome in bench.run()]
