"""Trackers and the trainings that they are told of: nothing twice, nothing lost, and never in the way."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

import pytest
from small_experiment import SmallExperiment

from specforge.execution.prepare import prepare
from specforge.execution.runner import How, Options, Runner
from specforge.execution.signals import StopRequest
from specforge.execution.tracking import tracking as tracking_module
from specforge.execution.tracking.teller import Teller
from specforge.execution.tracking.told import Told
from specforge.execution.tracking.tracking import Tracking
from specforge.foundation.errors import StepFailedError
from specforge.foundation.events import ProgressEvent, RecordEvent
from specforge.language.spec import Part, Registered, Spec, ValuePath
from specforge.plugin import Component, ComponentConfig
from specforge.storage.digests import Digests
from specforge.storage.store import Store
from specforge.trackers.tracker import Point, TrackedRun, Tracker

FAKE_WORKER = Path(__file__).parent.parent / "fake_worker.py"
COMMAND = (sys.executable, str(FAKE_WORKER))


@dataclass
class Diary(Tracker):
    """Keeps what it is told, over all starts, and fails where it is asked to."""

    told: list[tuple[str, int]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    runs: list[TrackedRun] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    fails: dict[str, BaseException] = field(default_factory=dict)
    opened: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.opened.set()

    def build(self, config: ComponentConfig) -> Diary:
        del config
        self._call("build")
        return self

    def start(self, run: TrackedRun) -> None:
        self.runs.append(run)
        self._call("start")

    def record(self, point: Point) -> None:
        self._call(f"{point.event} {point.updates}")
        self.told.append((point.event, point.updates))

    def close(self, *, done: bool) -> None:
        self._call("done" if done else "not done")

    def _call(self, name: str) -> None:
        self.opened.wait(20)
        self.threads.add(threading.get_ident())
        self.calls.append(name)
        if name in self.fails:
            raise self.fails[name]


@pytest.fixture
def diary(monkeypatch: pytest.MonkeyPatch) -> Diary:
    """The tracker `diary`, which the spec of a bench names."""
    found = Diary()
    module = ModuleType("trackers_of_a_test")
    module.build = found.build  # type: ignore[attr-defined]
    module.Config = ComponentConfig  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trackers_of_a_test", module)
    return found


class Bench:
    """Runs a small experiment with fake workers and trackers."""

    def __init__(self, small: SmallExperiment, *trackers: str) -> None:
        self._small = small
        self._trackers = trackers
        self.store = Store(small.folder / "store")
        self.lines: list[str] = []

    def spec(self) -> Spec:
        spec = self._small.spec()
        parts: dict[ValuePath, Part] = {
            ("run", "trackers", number): Part(
                Registered(
                    "a-plugin",
                    "1.0",
                    Component("tracker", name, "trackers_of_a_test:Config", f"trackers_of_a_test:{attribute}"),
                ),
                ComponentConfig(),
            )
            for number, name in enumerate(self._trackers)
            for attribute in ("build" if name == "diary" else "absent",)
        }
        return replace(spec, parts={**spec.parts, **parts})

    def run(self, *force: str) -> dict[str, How]:
        digests = Digests(None)
        spec = self.spec()
        plan = prepare(spec, self.store, digests)
        options = Options(frozenset(force), command=COMMAND)
        return Runner(spec, plan, self.store, digests, self, StopRequest(), options).run(plan.steps)

    def line(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, step: str, event: ProgressEvent) -> None:
        pass

    def end(self, step: str) -> None:
        pass

    @property
    def warnings(self) -> list[str]:
        return [line for line in self.lines if "tracker" in line]


@pytest.fixture
def bench(small: SmallExperiment, diary: Diary) -> Bench:
    del diary
    return Bench(small, "diary")


def updates(diary: Diary) -> list[int]:
    return [updates for event, updates in diary.told if event == "train"]


def test_a_tracker_is_told_all_points_in_order_from_one_thread_of_its_own(bench: Bench, diary: Diary) -> None:
    bench.run()

    assert diary.calls == ["build", "start", *(f"train {number}" for number in range(1, 7)), "done"]
    assert len(diary.threads) == 1
    assert threading.get_ident() not in diary.threads
    assert bench.warnings == []


def test_a_tracker_knows_the_run_and_its_spec(bench: Bench, diary: Diary) -> None:
    bench.run()

    (run,) = diary.runs
    assert run.name == "small"
    assert run.folder == bench.store.run_folder("small") / "logs" / "diary"
    assert run.folder.is_dir()
    assert run.spec["seed"] == 1
    assert '\nuse = "transformer"\n' in run.text


def test_trackers_count_for_no_key(bench: Bench, small: SmallExperiment) -> None:
    without = prepare(small.spec(), bench.store, Digests(None))
    named = prepare(small.spec('run.trackers="tensorboard"'), bench.store, Digests(None))

    assert [(step.key, step.settings) for step in without.steps] == [(step.key, step.settings) for step in named.steps]


@pytest.mark.parametrize("call", ["build", "start", "train 1", "train 3", "done"])
@pytest.mark.parametrize("error", [OSError("no\nroute to host"), SystemExit(3)])
def test_a_tracker_that_fails_is_named_once_and_the_run_ends_well(
    bench: Bench, diary: Diary, call: str, error: BaseException
) -> None:
    diary.fails[call] = error

    assert bench.run()["train"] == "run"

    (warning,) = bench.warnings
    cause = "OSError: no route to host" if isinstance(error, OSError) else "SystemExit: 3"
    assert warning == f"  train: warning: the tracker `diary` is told nothing more until the next start: {cause}"
    assert diary.calls[-1] == call
    assert '"level": "warning"' in (bench.store.run_folder("small") / "logs" / "train.jsonl").read_text()


def test_one_that_fails_leaves_the_others_alone(small: SmallExperiment, diary: Diary) -> None:
    bench = Bench(small, "unbuildable", "diary")

    bench.run()

    assert updates(diary) == [1, 2, 3, 4, 5, 6]
    assert ["`unbuildable`" in warning for warning in bench.warnings] == [True]


def test_what_a_tracker_missed_is_told_at_the_next_start(bench: Bench, diary: Diary) -> None:
    diary.fails["train 3"] = ConnectionError("away")
    bench.run()
    assert updates(diary) == [1, 2]
    diary.fails.clear()

    assert bench.run()["train"] == "reuse"

    assert updates(diary) == [1, 2, 3, 4, 5, 6]
    assert diary.calls[-1] == "done"


def test_a_tracker_that_comes_later_is_told_the_whole_training(small: SmallExperiment, diary: Diary) -> None:
    Bench(small).run()
    assert diary.calls == []

    Bench(small, "diary").run()

    assert updates(diary) == [1, 2, 3, 4, 5, 6]


def test_one_that_knows_all_is_not_even_built_again(bench: Bench, diary: Diary) -> None:
    bench.run()
    calls = list(diary.calls)

    bench.run()

    assert diary.calls == calls


def test_a_resumed_training_goes_on_in_the_same_tracker_run(
    bench: Bench, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRAIN", "stopped_after:3")
    with pytest.raises(StepFailedError):
        bench.run()
    assert diary.calls[-1] == "not done"
    # the last checkpoint is lost: what came after the one before it is done, and said, once more
    (work,) = bench.store.root.rglob("checkpoints/3")
    (work / "manifest.json").unlink()
    work.rmdir()
    monkeypatch.setenv("FAKE_TRAIN", "well")

    bench.run()

    assert updates(diary) == [1, 2, 3, 4, 5, 6]
    assert len({run.id for run in diary.runs}) == 1
    log = (bench.store.run_folder("small") / "logs" / "train.jsonl").read_text()
    assert log.count('"event": "train", "updates": 3,') == 2


def test_a_restarted_training_goes_on_in_the_same_tracker_run(
    bench: Bench, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRAIN", "mortal:2")

    bench.run()

    assert updates(diary) == [1, 2, 3, 4, 5, 6]
    assert diary.calls.count("start") == 1


def test_a_forced_training_is_told_as_another_one(bench: Bench, diary: Diary) -> None:
    bench.run()
    bench.run("train")

    assert updates(diary) == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6]
    first, second = diary.runs
    assert second.id == f"{first.id}-2"
    assert second.folder == first.folder


def test_two_trackers_of_a_name_have_folders_of_their_own(small: SmallExperiment, diary: Diary) -> None:
    Bench(small, "diary", "diary").run()

    assert {run.folder.name for run in diary.runs} == {"diary", "diary-2"}
    assert sorted(updates(diary)) == sorted([1, 2, 3, 4, 5, 6] * 2)


def test_a_tracker_that_hangs_is_left_behind(bench: Bench, diary: Diary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_module, "_PATIENCE", 0.2)
    diary.opened.clear()

    assert bench.run()["train"] == "run"

    waiting, warning = bench.warnings
    assert waiting == "  train: warning: waiting for the tracker `diary` to end, 0 seconds at most"
    assert warning.endswith("it did not end in time")
    diary.opened.set()


def test_nobody_waits_after_a_second_request_to_stop(tmp_path: Path, diary: Diary) -> None:
    diary.opened.clear()
    said: list[str] = []
    stop = StopRequest()
    stop.count = 2
    tracking = Tracking([teller(diary, tmp_path)], said.append, patience=1_000.0)
    tracking.record(RecordEvent("train", {"updates": 1, "loss": 1.0}))

    tracking.close(stop, done=False)

    assert len(said) == 2
    diary.opened.set()


def test_one_that_does_not_keep_up_is_given_up(tmp_path: Path, diary: Diary) -> None:
    diary.opened.clear()
    said: list[str] = []
    tracking = Tracking([teller(diary, tmp_path, most_waiting=10)], said.append, patience=1_000.0)

    for number in range(1, 200):
        tracking.record(RecordEvent("train", {"updates": number, "loss": 1.0}))

    assert [text.rpartition(": ")[2] for text in said] == ["it does not keep up, 10 points wait for it"]
    diary.opened.set()


def teller(diary: Diary, folder: Path, most_waiting: int = 1_000) -> Teller:
    run = TrackedRun("small", "abc", folder, {}, "")
    return Teller("diary", lambda: diary.build(ComponentConfig()), run, [], most_waiting)


def point(updates: int, event: str = "train") -> Point:
    return Point(event, updates, {"loss": 1.0}, 0.0)


def test_what_a_second_attempt_said_again_is_told_once_to_a_tracker_that_comes_later(
    tmp_path: Path, diary: Diary
) -> None:
    former = [point(number) for number in (1, 2, 3, 2, 3, 4)]
    run = TrackedRun("small", "abc", tmp_path, {}, "")
    late = Teller("diary", lambda: diary.build(ComponentConfig()), run, former)
    late.end(done=True)

    assert late.ended(time.monotonic() + 60, lambda: False)
    assert updates(diary) == [1, 2, 3, 4]


def test_what_was_told_is_remembered_for_one_training(tmp_path: Path) -> None:
    told = Told(tmp_path, "abc")
    told.note(point(10))
    told.write(coming=[point(5, "valid")])

    again = Told(tmp_path, "abc")

    assert [again.knows(point(each)) for each in (9, 10, 11)] == [True, True, False]
    assert [again.knows(point(each, "valid")) for each in (5, 6)] == [True, False]
    assert not Told(tmp_path, "abd").knows(point(1))


def test_points_that_come_once_more_do_not_make_the_last_ones_forgotten(tmp_path: Path) -> None:
    """A second attempt says 2 and 3 again; killed while it tells them, the tracker must not be told 3 a second time."""
    Told(tmp_path, "abc").write(coming=[point(each) for each in (2, 3, 2)])

    assert Told(tmp_path, "abc").knows(point(3))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"training": "abc"}', '{"training": "abc", "furthest": {"train": "x"}}']
)
def test_a_damaged_memory_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "told.json").write_text(text)

    assert not Told(tmp_path, "abc").knows(point(1))
